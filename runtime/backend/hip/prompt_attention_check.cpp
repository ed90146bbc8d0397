// The check of attention on the matrix unit: several sequences, each with keys of earlier steps, by tiles of
// rows and row by row.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/quant/half.h"
#include "runtime/backend/hip/check_inputs.h"
#include "runtime/backend/hip/kernel_checks.h"

namespace halod::hip {
namespace {

/// Queries and weights are rounded to f16, by up to 2^-11 each. With scores of a few units, as models have
/// them, that is a relative error of some 1e-4 to 1e-3 of a weight; a mask that is off by one key is 1e-3 and
/// more of the power.
constexpr double kPromptAttentionBound = 2e-6;

struct ScatteredPages {
  std::vector<unsigned char> bytes;  ///< of all pages; what no token was stored to is NaN
  std::vector<uint32_t> ids;         ///< of all sequences
  std::vector<int32_t> first;        ///< of each sequence
};

class PromptAttentionInputs {
 public:
  explicit PromptAttentionInputs(const PromptAttentionShape& shape) : shape_(shape) {
    int n_rows = 0, n_pages = 0;
    for (const auto& sequence : shape.sequences) {
      n_rows += sequence.n_new;
      n_pages += (sequence.n_past + sequence.n_new + kPageTokens - 1) / kPageTokens;
    }
    q = check_values(int64_t{n_rows} * shape.n_heads * shape.head_dim, 60);
    sinks = check_values(shape.n_heads, 59);
    gated_q = check_values(2 * static_cast<int64_t>(q.size()), 58);
    const auto page_bytes = static_cast<size_t>(shape.n_kv_heads * kv_head_page_bytes(shape.head_dim));
    pages.bytes.assign(static_cast<size_t>(n_pages) * page_bytes, 0xff);
    // The last page first: no two neighbours lie as they follow.
    for (int page = 0; page < n_pages; ++page) pages.ids.push_back(static_cast<uint32_t>(n_pages - 1 - page));
    int32_t first = 0;
    for (size_t s = 0; s < shape.sequences.size(); ++s) {
      pages.first.push_back(first);
      fill(s);
      const auto& sequence = shape.sequences[s];
      for (int i = 0; i < sequence.n_new; ++i) rows.push_back({sequence.n_past + i, first});
      first += (sequence.n_past + sequence.n_new + kPageTokens - 1) / kPageTokens;
    }
  }

  /// In double, from the halves that lie in the pages.
  std::vector<float> expected(size_t s, int row_in_sequence, size_t row, int head) const {
    const int dim = shape_.head_dim, kv_head = head / (shape_.n_heads / shape_.n_kv_heads);
    const int position = shape_.sequences[s].n_past + row_in_sequence;
    const int first = shape_.window == 0 ? 0 : std::max(0, position - shape_.window + 1);
    const float* query = q.data() + row * static_cast<size_t>(shape_.n_heads * dim) + head * dim;
    std::vector<double> scores;
    double largest = -std::numeric_limits<double>::infinity();
    for (int key = first; key <= position; ++key) {
      double score = 0;
      for (int d = 0; d < dim; ++d)
        score += static_cast<double>(query[d]) * static_cast<double>(f16_to_f32(*key_at(s, kv_head, key, d)));
      scores.push_back(score * static_cast<double>(scale()));
      largest = std::max(largest, scores.back());
    }
    double total = 0;
    if (shape_.has_sinks) {
      const double sink = static_cast<double>(sinks[static_cast<size_t>(head)]);
      largest = std::max(largest, sink);
      total = std::exp(sink - largest);
    }
    std::vector<double> sums(static_cast<size_t>(dim));
    for (int key = first; key <= position; ++key) {
      const double weight = std::exp(scores[static_cast<size_t>(key - first)] - largest);
      total += weight;
      for (int d = 0; d < dim; ++d)
        sums[static_cast<size_t>(d)] +=
            weight * static_cast<double>(f16_to_f32(*value_at(s, kv_head, key, d)));
    }
    std::vector<float> out;
    const float* gates = gated_q.data() + attention_gate(static_cast<int>(row), shape_.n_heads, head, dim);
    for (size_t d = 0; d < sums.size(); ++d) {
      const double gate = shape_.is_gated ? 1 / (1 + std::exp(-static_cast<double>(gates[d]))) : 1;
      out.push_back(static_cast<float>(sums[d] / total * gate));
    }
    return out;
  }

  /// Of scores: small enough that more than one key counts.
  float scale() const { return 1.0F / static_cast<float>(shape_.head_dim); }

  std::vector<float> q;
  std::vector<float> sinks;    ///< [n_heads]
  std::vector<float> gated_q;  ///< the gates beside whatever
  ScatteredPages pages;
  std::vector<StepRow> rows;

 private:
  const uint16_t* head_page(size_t s, int kv_head, int key) const {
    const uint32_t id = pages.ids[static_cast<size_t>(pages.first[s] + key / kPageTokens)];
    return reinterpret_cast<const uint16_t*>(
        pages.bytes.data() +
        (static_cast<size_t>(id) * static_cast<size_t>(shape_.n_kv_heads) + static_cast<size_t>(kv_head)) *
            static_cast<size_t>(kv_head_page_bytes(shape_.head_dim)));
  }
  const uint16_t* key_at(size_t s, int kv_head, int key, int d) const {
    return head_page(s, kv_head, key) + (d / 8 * kPageTokens + key % kPageTokens) * 8 + d % 8;
  }
  const uint16_t* value_at(size_t s, int kv_head, int key, int d) const {
    return head_page(s, kv_head, key) + kPageTokens * shape_.head_dim + key % kPageTokens * shape_.head_dim +
           d;
  }
  void fill(size_t s) {
    const int n_keys = shape_.sequences[s].n_past + shape_.sequences[s].n_new;
    const int64_t n = int64_t{n_keys} * shape_.n_kv_heads * shape_.head_dim;
    const std::vector<float> k = check_values(n, static_cast<uint32_t>(61 + 2 * s)),
                             v = check_values(n, static_cast<uint32_t>(62 + 2 * s));
    size_t i = 0;
    for (int key = 0; key < n_keys; ++key) {
      for (int head = 0; head < shape_.n_kv_heads; ++head) {
        for (int d = 0; d < shape_.head_dim; ++d, ++i) {
          *const_cast<uint16_t*>(key_at(s, head, key, d)) = f32_to_f16(k[i]);
          *const_cast<uint16_t*>(value_at(s, head, key, d)) = f32_to_f16(v[i]);
        }
      }
    }
  }

  const PromptAttentionShape& shape_;
};

struct OnDevice {
  OnDevice(Device& device, const PromptAttentionInputs& inputs)
      : q(device, inputs.q),
        rows(device, inputs.rows),
        pages(device, inputs.pages.ids),
        kv(device, inputs.pages.bytes),
        sinks(device, inputs.sinks),
        gated_q(device, inputs.gated_q) {}
  DeviceArray<float> q;
  DeviceArray<StepRow> rows;
  DeviceArray<uint32_t> pages;
  DeviceArray<unsigned char> kv;
  DeviceArray<float> sinks, gated_q;
};

void attend_by_tiles(Device& device, const PromptAttentionShape& shape, const PromptAttentionInputs& inputs,
                     const OnDevice& on_device, const ActivationResult& out) {
  const int group = shape.n_heads / shape.n_kv_heads, most = prompt_heads_at_once(shape.head_dim);
  const int at_once = kernel_capacity(std::min(group, most), most);
  const int n_rows_of_tile = prompt_attention_rows(at_once * prompt_head_waves(shape.head_dim));
  std::vector<AttentionTile> tiles;
  int first_row = 0;
  for (const auto& sequence : shape.sequences) {
    for (int row = 0; row < sequence.n_new; row += n_rows_of_tile)
      tiles.push_back({first_row + row, std::min(n_rows_of_tile, sequence.n_new - row)});
    first_row += sequence.n_new;
  }
  const DeviceArray<AttentionTile> device_tiles(device, tiles);
  launch(device, find_flash_attention(shape.head_dim)->prompt,
         {.x = static_cast<int64_t>(tiles.size()),
          .y = int64_t{shape.n_kv_heads} * ((group + at_once - 1) / at_once)},
         prompt_attention_shared_bytes(shape.head_dim),
         PromptAttentionArgs{.q = on_device.q.data(),
                             .rows = on_device.rows.data(),
                             .tiles = device_tiles.data(),
                             .pages = on_device.pages.data(),
                             .kv = on_device.kv.data(),
                             .out = out,
                             .scale = inputs.scale(),
                             .n_heads = shape.n_heads,
                             .n_kv_heads = shape.n_kv_heads,
                             .heads_at_once = at_once,
                             .window = shape.window,
                             .sinks = shape.has_sinks ? on_device.sinks.data() : nullptr,
                             .gated_q = shape.is_gated ? on_device.gated_q.data() : nullptr});
  device.synchronize();  // the tiles' memory ends here
}

/// Returns whether the counters are zeros again.
bool attend_by_rows(Device& device, const PromptAttentionShape& shape, const PromptAttentionInputs& inputs,
                    const OnDevice& on_device, const ActivationResult& out) {
  const auto n_rows = static_cast<int>(inputs.rows.size());
  const int chunks_per_group = (shape.n_heads / shape.n_kv_heads + kFragment - 1) / kFragment;
  const int n_chunks = shape.n_kv_heads * chunks_per_group;
  int longest = 0;
  std::vector<int32_t> row_ids;  // the last one first: where a row stands in the launch must not matter
  for (int row = n_rows - 1; row >= 0; --row) {
    row_ids.push_back(row);
    longest = std::max(longest, inputs.rows[static_cast<size_t>(row)].position + 1);
  }
  const int n_splits = n_key_splits(longest);
  const DeviceArray<int32_t> device_row_ids(device, row_ids);
  const DeviceArray<float> partials(device, int64_t{n_rows} * n_chunks * n_splits *
                                                static_cast<int64_t>(flash_partial_floats(shape.head_dim)));
  DeviceArray<uint32_t> counters(device, int64_t{n_rows} * n_chunks);
  launch(device, find_flash_attention(shape.head_dim)->decode,
         {.x = n_splits, .y = int64_t{n_rows} * n_chunks}, flash_decode_shared_bytes(shape.head_dim),
         FlashDecodeArgs{.q = on_device.q.data(),
                         .rows = on_device.rows.data(),
                         .row_ids = device_row_ids.data(),
                         .pages = on_device.pages.data(),
                         .kv = on_device.kv.data(),
                         .partials = partials.data(),
                         .counters = counters.data(),
                         .out = out,
                         .scale = inputs.scale(),
                         .n_heads = shape.n_heads,
                         .n_kv_heads = shape.n_kv_heads,
                         .n_chunks = n_chunks,
                         .n_splits = n_splits,
                         .window = shape.window,
                         .sinks = shape.has_sinks ? on_device.sinks.data() : nullptr,
                         .gated_q = shape.is_gated ? on_device.gated_q.data() : nullptr});
  return std::ranges::all_of(counters.read(), [](uint32_t count) { return count == 0; });
}

/// 0 where the first n values, and what their 8-bit forms say, are the same bits.
double difference_of_rows(CheckActivations& a, CheckActivations& b, size_t n) {
  const auto differs = [](const auto& x, const auto& y, size_t count) {
    return std::memcmp(x.data(), y.data(), count * sizeof x[0]) != 0;
  };
  return differs(a.values(), b.values(), n) || differs(a.codes(), b.codes(), n) ||
                 differs(a.groups(), b.groups(), n / kGroupColumns)
             ? 1
             : 0;
}

}  // namespace

KernelChecks check_prompt_attention(Device& device, const PromptAttentionShape& shape) {
  const FlashAttention& kernels = *find_flash_attention(shape.head_dim);
  const PromptAttentionInputs inputs(shape);
  const OnDevice on_device(device, inputs);
  const int n_rows = static_cast<int>(inputs.rows.size()), row_columns = shape.n_heads * shape.head_dim;
  CheckActivations out(device, n_rows, row_columns), alone(device, n_rows, row_columns);
  attend_by_tiles(device, shape, inputs, on_device, out.result());
  const bool are_zeros = attend_by_rows(device, shape, inputs, on_device, alone.result());
  std::vector<float> expected;
  size_t row = 0;
  for (size_t s = 0; s < shape.sequences.size(); ++s) {
    for (int i = 0; i < shape.sequences[s].n_new; ++i, ++row) {
      for (int head = 0; head < shape.n_heads; ++head) {
        const std::vector<float> of_head = inputs.expected(s, i, row, head);
        expected.insert(expected.end(), of_head.begin(), of_head.end());
      }
    }
  }
  const std::string what =
      fmt::format("{} {}/{} heads, {} rows of {} sequences, window {}{}{}", kernel_row(kernels.prompt).name,
                  shape.n_heads, shape.n_kv_heads, n_rows, shape.sequences.size(), shape.window,
                  shape.has_sinks ? ", sinks" : "", shape.is_gated ? ", gated" : "");
  const std::string_view decode = kernel_row(kernels.decode).name;
  // The 8-bit form is that of the values, as another kernel makes it.
  CheckActivations rounded(device, n_rows, row_columns);
  rounded.write(out.values());
  rounded.quantise(device);
  const size_t n = expected.size();
  return {{what, check_nmse(out.values(), expected), kPromptAttentionBound},
          {what + ": 8 bits", difference_of_rows(out, rounded, n)},
          {fmt::format("{}: the bits of {}", what, decode), difference_of_rows(out, alone, n)},
          {fmt::format("{} leaves its counters at zero", decode), are_zeros ? 0.0 : 1.0}};
}

}  // namespace halod::hip
