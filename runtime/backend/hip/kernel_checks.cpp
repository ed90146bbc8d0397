#include "runtime/backend/hip/kernel_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "runtime/backend/hip/check_inputs.h"

namespace halod::hip {
namespace {

/// Keys are rounded to f16 after their norm and rotation: where f32 and f64 fall on different sides of a
/// step, a key is off by 2^-11, and the scores with it.
constexpr double kAttentionBound = 1e-7;

void add(KernelChecks& checks, std::string what, double nmse) { checks.push_back({std::move(what), nmse}); }

/// Rows of x against rows of a matrix: [n_tokens, rows].
std::vector<float> expected_product(const WeightMatrix& weights, const std::vector<float>& x,
                                    int64_t n_tokens) {
  std::vector<float> y(static_cast<size_t>(n_tokens * weights.rows));
  reference::matmul({.weight = weights,
                     .n_rows = weights.rows,
                     .x = {.values = {x.data(), n_tokens, weights.cols}},
                     .n_tokens = n_tokens,
                     .y = {y.data(), n_tokens, weights.rows}});
  return y;
}

double argmax_error(Device& device, std::vector<float> values, int cols, int rows) {
  DeviceArray<float> x(device, values);
  DeviceArray<ArgmaxResult> partials(device, rows * kArgmaxBlocks), best(device, rows);
  DeviceArray<uint32_t> counters(device, rows);
  launch(device, KernelId::argmax, {.x = kArgmaxBlocks, .y = rows}, argmax_shared_bytes(),
         ArgmaxArgs{.x = x.data(),
                    .cols = cols,
                    .partials = partials.data(),
                    .counters = counters.data(),
                    .best = best.data()});
  const std::vector<ArgmaxResult> found = best.read();
  for (int row = 0; row < rows; ++row) {
    const auto first = values.begin() + int64_t{row} * cols;
    auto expected = std::find_if(first, first + cols, [](float value) { return std::isnan(value); });
    if (expected == first + cols) expected = std::max_element(first, first + cols);
    if (found[static_cast<size_t>(row)].index != static_cast<int32_t>(expected - first)) return 1;
  }
  return 0;
}

/// 0 where the k best of each row are found, in their order.
double top_k_error(Device& device, const std::vector<float>& values, int cols, int rows, int k) {
  DeviceArray<float> x(device, values);
  DeviceArray<ArgmaxResult> partials(device, int64_t{rows} * kTopKBlocks * k),
      best(device, int64_t{rows} * k);
  DeviceArray<uint32_t> counters(device, rows);
  launch(device, KernelId::top_k, {.x = kTopKBlocks, .y = rows}, top_k_shared_bytes(cols, k),
         TopKArgs{x.data(), cols, k, partials.data(), counters.data(), best.data()});
  const std::vector<ArgmaxResult> found = best.read();
  for (int row = 0; row < rows; ++row) {
    const float* of_row = values.data() + int64_t{row} * cols;
    std::vector<int32_t> order(static_cast<size_t>(cols));
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, [&](int32_t a, int32_t b) {
      if (std::isnan(of_row[a]) || std::isnan(of_row[b]))
        return std::isnan(of_row[a]) && !std::isnan(of_row[b]);
      return of_row[a] > of_row[b];
    });
    order.resize(static_cast<size_t>(k), cols);  // what there is nothing for
    for (int rank = 0; rank < k; ++rank) {
      const ArgmaxResult& here = found[static_cast<size_t>(row * k + rank)];
      const int32_t expected = order[static_cast<size_t>(rank)];
      const float value = expected == cols ? -std::numeric_limits<float>::infinity() : of_row[expected];
      if (here.index != expected || std::memcmp(&here.value, &value, sizeof value) != 0) return 1;
    }
  }
  const std::vector<uint32_t> left = counters.read();
  return std::all_of(left.begin(), left.end(), [](uint32_t count) { return count == 0; }) ? 0 : 1;
}

}  // namespace

KernelChecks check_rows(Device& device, int cols) {
  constexpr int kRows = 3;
  KernelChecks checks;
  const std::vector<float> x = check_values(kRows * cols, 1), weight = check_values(cols, 2);
  std::vector<float> expected(x.size());
  for (int row = 0; row < kRows; ++row)
    reference::rms_norm({x.data() + row * cols, weight.data(), expected.data() + row * cols, cols, 1e-6F});
  DeviceArray<float> device_x(device, x), device_weight(device, weight);
  CheckActivations y(device, kRows, cols);
  launch(device, KernelId::rms_norm, {.x = kRows}, rms_norm_shared_bytes(),
         RmsNormArgs{device_x.data(), device_weight.data(), 1e-6F, cols, y.result()});
  add(checks, fmt::format("rms_norm {}", cols), check_nmse(y.values(), expected));
  if (cols % 32 == 0) add(checks, fmt::format("rms_norm to 8 bits {}", cols), rounding_error(y, kRows, cols));

  const std::vector<int32_t> wanted = {2, 0};
  DeviceArray<int32_t> device_wanted(device, wanted);
  DeviceArray<float> gathered(device, 2 * cols);
  launch(
      device, KernelId::gather, {.x = 2}, 0,
      GatherArgs{.x = device_x.data(), .rows = device_wanted.data(), .cols = cols, .out = gathered.data()});
  std::vector<float> rows(x.begin() + 2 * cols, x.end());
  rows.insert(rows.end(), x.begin(), x.begin() + cols);
  add(checks, fmt::format("gather {}", cols), gathered.read() == rows ? 0 : 1);

  add(checks, fmt::format("argmax {}", cols), argmax_error(device, x, cols, kRows));
  std::vector<float> special = x;
  std::fill_n(special.begin(), cols, -1.0F);  // all equal: the lowest index
  special[static_cast<size_t>(2 * cols - 1)] =
      std::numeric_limits<float>::quiet_NaN();  // NaN is worth reporting
  std::fill_n(special.begin() + 2 * cols, cols, -std::numeric_limits<float>::infinity());  // nothing there
  add(checks, fmt::format("argmax of ties, NaN and -infinity {}", cols),
      argmax_error(device, special, cols, kRows));
  for (const int k : {20, kMaxTopK}) {
    add(checks, fmt::format("top_k {} of {}", k, cols), top_k_error(device, x, cols, kRows, k));
    add(checks, fmt::format("top_k {} of ties, NaN and -infinity {}", k, cols),
        top_k_error(device, special, cols, kRows, k));
  }
  return checks;
}

KernelChecks check_embed(Device& device, Format format, int cols) {
  constexpr int kRows = 5;
  const CheckWeights weights(device, format, 1, kRows, cols, 3);
  const std::vector<int32_t> tokens = {4, 0, 4, 2};
  DeviceArray<int32_t> device_tokens(device, tokens);
  DeviceArray<float> out(device, static_cast<int64_t>(tokens.size()) * cols);
  launch(device, KernelId::embed, {.x = static_cast<int64_t>(tokens.size())}, 0,
         EmbedArgs{weights.device_rows(), device_tokens.data(), out.data(), nullptr});
  std::vector<float> expected(tokens.size() * static_cast<size_t>(cols));
  for (size_t t = 0; t < tokens.size(); ++t)
    traits(format).dequantize(weights.row_blocks(tokens[t]), cols,
                              expected.data() + t * static_cast<size_t>(cols));
  return {{fmt::format("embed {} {}", traits(format).name, cols), out.read() == expected ? 0.0 : 1.0}};
}

KernelChecks check_linear(Device& device, const LinearShape& shape) {
  CheckActivations x(device, shape.n_tokens, shape.cols);
  x.write(check_values(shape.n_tokens * shape.cols, 4));
  if (shape.cols % 32 == 0) x.quantise(device);
  std::vector<CheckWeights> weights;
  std::vector<DeviceArray<float>> results;
  LinearArgs args{.n_matrices = static_cast<int32_t>(shape.formats.size()),
                  .n_tokens = shape.n_tokens,
                  .add = shape.add ? 1 : 0,
                  .x = x.rows()};
  const std::vector<float> bias = check_values(shape.rows, 15);
  DeviceArray<float> device_bias(device, bias);
  if (shape.has_bias) args.bias = device_bias.data();
  const std::vector<float> before = check_values(shape.n_tokens * shape.rows, 5);
  const int tiles = (shape.rows + kLinearTileRows - 1) / kLinearTileRows;
  weights.reserve(shape.formats.size());
  results.reserve(shape.formats.size());
  for (size_t m = 0; m < shape.formats.size(); ++m) {
    weights.emplace_back(device, shape.formats[m], 1, shape.rows, shape.cols, 6 + static_cast<uint32_t>(m));
    results.emplace_back(device, before);
    args.weights[m] = weights[m].device_rows();
    args.y[m] = results[m].data();
    args.first_tile[m + 1] = static_cast<int32_t>(m + 1) * tiles;
  }
  const KernelId kernel = linear_kernel(shape.n_tokens);
  launch(device, kernel, {.x = tiles * args.n_matrices}, 0, args);
  KernelChecks checks;
  for (size_t m = 0; m < shape.formats.size(); ++m) {
    std::vector<float> expected =
        expected_product(weights[m].blocks(0), x.values_for(shape.formats[m]), shape.n_tokens);
    for (size_t i = 0; shape.add && i < expected.size(); ++i) expected[i] += before[i];
    if (shape.has_bias) add_to_rows(expected, bias);
    add(checks,
        fmt::format("{} {} {}x{}, {} rows{}{}", kernel_row(kernel).name, traits(shape.formats[m]).name,
                    shape.rows, shape.cols, shape.n_tokens, shape.add ? ", added" : "",
                    shape.has_bias ? ", biased" : ""),
        check_nmse(results[m].read(), expected));
  }
  return checks;
}

namespace {

struct AttentionInputs {
  std::vector<float> q, k, v, rope;  ///< of all keys of all rows' sequences; q of the rows alone
  std::vector<float> q_norm, k_norm;
  std::vector<float> q_bias, k_bias, v_bias;
  std::vector<float> sinks;
};

int n_rotated(const AttentionShape& shape) { return shape.n_rotated > 0 ? shape.n_rotated : shape.head_dim; }

/// The reference's result of one row whose sequence has n_keys tokens, the last being the row's own.
std::vector<float> expected_attention(const AttentionShape& shape, const AttentionInputs& in,
                                      std::vector<float> q, const float* k, const float* v,
                                      const float* angles, int n_keys) {
  const int dim = shape.head_dim, group = shape.n_heads / shape.n_kv_heads, turned = n_rotated(shape);
  const auto place = [&](float* head, const std::vector<float>& norm, const float* at) {
    if (shape.has_norms) reference::rms_norm({head, norm.data(), head, dim, 1e-6F});
    reference::rope({head, at, at + turned / 2, turned, shape.pairs_neighbours});
  };
  std::vector<float> out(q.size());
  for (int kv_head = 0; kv_head < shape.n_kv_heads; ++kv_head) {
    const auto page_bytes = static_cast<size_t>(halod::kv_head_page_bytes(KvType::kF16, dim));
    std::vector<std::vector<std::byte>> pages(static_cast<size_t>((n_keys + 31) / 32),
                                              std::vector<std::byte>(page_bytes));
    std::vector<const std::byte*> pointers;
    for (int j = 0; j < n_keys; ++j) {
      const auto offset = static_cast<size_t>((j * shape.n_kv_heads + kv_head) * dim);
      std::vector<float> key(k + offset, k + offset + dim);
      place(key.data(), in.k_norm, angles + j * turned);
      reference::kv_store(
          {key.data(), v + offset, pages[static_cast<size_t>(j / 32)].data(), j % 32, dim, KvType::kF16});
    }
    for (const auto& page : pages) pointers.push_back(page.data());
    for (int h = kv_head * group; h < (kv_head + 1) * group; ++h) {
      place(q.data() + h * dim, in.q_norm, angles + (n_keys - 1) * turned);
      reference::attention({.q = q.data() + h * dim,
                            .out = out.data() + h * dim,
                            .n_heads = 1,
                            .head_dim = dim,
                            .scale = 1.0F / std::sqrt(static_cast<float>(dim)),
                            .pages = pointers,
                            .first_key = first_seen_key(n_keys - 1, shape.window),
                            .n_keys = n_keys,
                            .sinks = shape.has_sinks ? in.sinks.data() + h : nullptr,
                            .type = KvType::kF16});
    }
  }
  return out;
}

}  // namespace

KernelChecks check_attention(Device& device, const AttentionShape& shape) {
  const int dim = shape.head_dim, group = shape.n_heads / shape.n_kv_heads;
  const auto n_rows = static_cast<int64_t>(shape.n_keys.size());
  const int longest = *std::max_element(shape.n_keys.begin(), shape.n_keys.end());
  const int q_size = shape.n_heads * dim, kv_size = shape.n_kv_heads * dim, turned = n_rotated(shape);
  // Pages lie scattered, as in use: sequence s has the pages s, n_rows + s, 2 n_rows + s, ….
  std::vector<uint32_t> pages;
  std::vector<int32_t> first_page;
  const int64_t pages_per_row = (longest + 31) / 32;
  for (int64_t s = 0; s < n_rows; ++s) {
    first_page.push_back(static_cast<int32_t>(pages.size()));
    for (int64_t i = 0; i < pages_per_row; ++i) pages.push_back(static_cast<uint32_t>(i * n_rows + s));
  }
  AttentionInputs in{.q = check_values(n_rows * q_size, 10),
                     .k = check_values(n_rows * longest * kv_size, 11),
                     .v = check_values(n_rows * longest * kv_size, 12),
                     .rope = {},
                     .q_norm = check_values(dim, 13),
                     .k_norm = check_values(dim, 14),
                     .q_bias = check_values(q_size, 16),
                     .k_bias = check_values(kv_size, 17),
                     .v_bias = check_values(kv_size, 18),
                     .sinks = check_values(shape.n_heads, 19)};
  // Each head's query, then its gate.
  std::vector<float> gated_q;
  const std::vector<float> gate = check_values(n_rows * q_size, 20);
  for (int64_t i = 0; i < n_rows * q_size; i += dim) {
    gated_q.insert(gated_q.end(), in.q.begin() + i, in.q.begin() + i + dim);
    gated_q.insert(gated_q.end(), gate.begin() + i, gate.begin() + i + dim);
  }
  DeviceArray<float> device_gated_q(device, gated_q);
  std::vector<float> angles(static_cast<size_t>(longest * turned));
  for (int j = 0; j < longest; ++j) {
    for (int i = 0; i < turned / 2; ++i) {
      const double angle = j * std::pow(1e4, -2.0 * i / turned);
      angles[static_cast<size_t>(j * turned + i)] = static_cast<float>(std::cos(angle));
      angles[static_cast<size_t>(j * turned + turned / 2 + i)] = static_cast<float>(std::sin(angle));
    }
  }
  DeviceArray<uint32_t> device_pages(device, pages);
  DeviceArray<unsigned char> kv(
      device, static_cast<int64_t>(pages.size()) * shape.n_kv_heads * kv_head_page_bytes(dim));
  DeviceArray<float> q_norm(device, in.q_norm), k_norm(device, in.k_norm);
  DeviceArray<float> q_bias(device, in.q_bias), k_bias(device, in.k_bias), v_bias(device, in.v_bias);
  const DeviceArray<float> sinks(device, in.sinks);
  DeviceArray<float> q(device, n_rows * q_size), k(device, n_rows * kv_size), v(device, n_rows * kv_size),
      rope(device, n_rows * turned);
  DeviceArray<StepRow> rows(device, n_rows);
  const int chunks_per_group = (group + kMaxHeadsPerChunk - 1) / kMaxHeadsPerChunk;
  const int heads = kernel_capacity(std::min(group, kMaxHeadsPerChunk), kMaxHeadsPerChunk);
  const int n_chunks = shape.n_kv_heads * chunks_per_group;
  // Step j computes token j of every sequence; a row that is done repeats its last token.
  for (int j = 0; j < longest; ++j) {
    std::vector<StepRow> places;
    std::vector<float> step_q, step_k, step_v, step_rope;
    for (int64_t s = 0; s < n_rows; ++s) {
      const int position = std::min(j, shape.n_keys[static_cast<size_t>(s)] - 1);
      places.push_back({position, first_page[static_cast<size_t>(s)]});
      const auto from = (s * longest + position) * kv_size;
      step_k.insert(step_k.end(), in.k.begin() + from, in.k.begin() + from + kv_size);
      step_v.insert(step_v.end(), in.v.begin() + from, in.v.begin() + from + kv_size);
      step_rope.insert(step_rope.end(), angles.begin() + position * turned,
                       angles.begin() + (position + 1) * turned);
    }
    rows.write(places);
    if (!shape.is_gated) q.write(in.q);
    k.write(step_k);
    v.write(step_v);
    rope.write(step_rope);
    const int n_heads = shape.n_heads + shape.n_kv_heads;
    launch(device, KernelId::attention_prepare,
           {.x = (n_heads + kPrepareHeads - 1) / kPrepareHeads, .y = n_rows}, 0,
           AttentionPrepareArgs{.q = q.data(),
                                .q_from = shape.is_gated ? device_gated_q.data() : q.data(),
                                .k = k.data(),
                                .v = v.data(),
                                .q_bias = shape.has_biases ? q_bias.data() : nullptr,
                                .k_bias = shape.has_biases ? k_bias.data() : nullptr,
                                .v_bias = shape.has_biases ? v_bias.data() : nullptr,
                                .q_norm = shape.has_norms ? q_norm.data() : nullptr,
                                .k_norm = shape.has_norms ? k_norm.data() : nullptr,
                                .rope = rope.data(),
                                .rows = rows.data(),
                                .pages = device_pages.data(),
                                .kv = kv.data(),
                                .epsilon = 1e-6F,
                                .n_heads = shape.n_heads,
                                .n_kv_heads = shape.n_kv_heads,
                                .head_dim = dim,
                                .q_stride = shape.is_gated ? 2 * dim : dim,
                                .n_rotated = turned,
                                .pairs_neighbours = shape.pairs_neighbours});
  }
  if (shape.has_biases) {
    add_to_rows(in.q, in.q_bias);
    add_to_rows(in.k, in.k_bias);
    add_to_rows(in.v, in.v_bias);
  }
  CheckActivations out(device, static_cast<int>(n_rows), q_size);
  ActivationResult result = out.result();
  if (dim % 32 != 0) result.codes = nullptr;
  DeviceArray<float> partials(device, n_rows * n_chunks * kMaxSplits * partial_floats(heads, dim));
  DeviceArray<uint32_t> counters(device, n_rows * n_chunks);
  const KernelId kernel = attention_kernel(heads);
  launch(device, kernel, {.x = most_splits(most_pages_seen(longest, shape.window)), .y = n_rows * n_chunks},
         attention_shared_bytes(heads, dim),
         SplitAttentionArgs{.q = q.data(),
                            .rows = rows.data(),
                            .pages = device_pages.data(),
                            .kv = kv.data(),
                            .partials = partials.data(),
                            .counters = counters.data(),
                            .out = result,
                            .scale = 1.0F / std::sqrt(static_cast<float>(dim)),
                            .n_heads = shape.n_heads,
                            .n_kv_heads = shape.n_kv_heads,
                            .head_dim = dim,
                            .n_chunks = n_chunks,
                            .window = shape.window,
                            .sinks = shape.has_sinks ? sinks.data() : nullptr,
                            .gated_q = shape.is_gated ? device_gated_q.data() : nullptr});
  const std::vector<float> values = out.values();
  KernelChecks checks;
  for (int64_t s = 0; s < n_rows; ++s) {
    const auto row = static_cast<size_t>(s);
    std::vector<float> q_row(in.q.begin() + s * q_size, in.q.begin() + (s + 1) * q_size);
    std::vector<float> expected =
        expected_attention(shape, in, std::move(q_row), in.k.data() + s * longest * kv_size,
                           in.v.data() + s * longest * kv_size, angles.data(), shape.n_keys[row]);
    for (size_t i = 0; shape.is_gated && i < expected.size(); ++i)
      expected[i] /= 1.0F + std::exp(-gate[row * static_cast<size_t>(q_size) + i]);
    checks.push_back(
        {fmt::format("{} {}/{} heads of {}, {} keys, window {}{}{}", kernel_row(kernel).name, shape.n_heads,
                     shape.n_kv_heads, dim, shape.n_keys[row], shape.window, shape.has_sinks ? ", sinks" : "",
                     shape.is_gated ? ", gated" : ""),
         check_nmse(std::span(values).subspan(row * static_cast<size_t>(q_size), static_cast<size_t>(q_size)),
                    expected),
         kAttentionBound});
  }
  if (result.codes)
    add(checks, fmt::format("{} to 8 bits", kernel_row(kernel).name), rounding_error(out, n_rows, q_size));
  const std::vector<uint32_t> left = counters.read();
  add(checks, fmt::format("{} leaves its counters at zero", kernel_row(kernel).name),
      std::all_of(left.begin(), left.end(), [](uint32_t count) { return count == 0; }) ? 0 : 1);
  return checks;
}

}  // namespace halod::hip
