#include "runtime/backend/cpu/cpu_backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "kernels/cpu/tile_layout.h"
#include "runtime/backend/tuning/matmul_trial.h"

namespace halod {
namespace {

template <class Variants>
const auto& select_row(Variants variants, bool exact) {
  for (const auto& variant : variants) {
    if (exact ? variant.isa == Isa::kReference : runs_on(variant.isa, cpu_features())) return variant;
  }
  return variants.back();
}

template <class Variants>
auto select(Variants variants, bool exact) {
  return select_row(variants, exact).run;
}

}  // namespace

CpuBackend::Kernels CpuBackend::select_kernels(bool exact) {
  return {
      .quantize_activations = select(quantize_activations_variants(), exact),
      .attention = select(attention_variants(), exact),
      .kv_store = select(kv_store_variants(), exact),
      .rms_norm = select(rms_norm_variants(), exact),
      .rope = select(rope_variants(), exact),
      .swiglu = select(swiglu_variants(), exact),
      .clamped_swiglu = select(clamped_swiglu_variants(), exact),
      .squared_relu = select(squared_relu_variants(), exact),
      .sigmoid_gate = select(sigmoid_gate_variants(), exact),
      .causal_conv = select(causal_conv_variants(), exact),
      .delta_rule = select(delta_rule_variants(), exact),
      .delta_gates = select(delta_gates_variants(), exact),
      .ssm_scan = select(ssm_scan_variants(), exact),
      .ssm_gates = select(ssm_gates_variants(), exact),
      .weighted_sum = select(weighted_sum_variants(), exact),
      .router_top_k = select(router_top_k_variants(), exact),
  };
}

CpuBackend::CpuBackend(int n_threads, bool exact)
    : exact_(exact),
      kv_type_(exact ? KvType::kF32 : KvType::kF16),
      kernels_(select_kernels(exact)),
      threads_(n_threads),
      tuner_(threads_),
      up_tile_(static_cast<size_t>(n_threads)) {}

std::string CpuBackend::device_name() const {
  const CpuFeatures& features = cpu_features();
  const char* isa = exact_                   ? "reference kernels"
                    : features.amx_int8      ? "AVX-512 VNNI and AMX"
                    : features.avx512_vnni   ? "AVX-512 VNNI"
                    : features.avx2_fma_f16c ? "AVX2"
                                             : "baseline";
  return fmt::format("{}, {} thread{}, {}", cpu_model_name(), threads_.n_threads(),
                     threads_.n_threads() == 1 ? "" : "s", isa);
}

Result<std::unique_ptr<PlacedWeight>> CpuBackend::place_weight(
    const Checkpoint& file, const TensorInfo& tensor, const std::function<void(uint64_t)>& on_bytes) {
  const MatmulChoice* choice =
      tuner_.choice(tensor.format, CpuWeight::n_rows(tensor), tensor.cols(),
                    CpuWeight::n_matrices(tensor) > 1, exact_, static_cast<int64_t>(tensor.size_bytes));
  return CpuWeight::place(file, tensor, choice, threads_, weights_, orders_, on_bytes);
}

std::vector<SelectedKernel> CpuBackend::selections() const {
  std::vector<SelectedKernel> all;
  const auto add = [&all](std::string_view operation, std::string_view format, std::string_view variant) {
    all.push_back({std::string(operation), std::string(format), std::string(variant)});
  };
  for (const CpuTuner::Selected& row : tuner_.selected()) {
    add("matmul", traits(row.format).name, row.variant->name);
    all.back().tuning = row.tuning;
  }
  const std::string_view kv_format = kv_type_ == KvType::kF16 ? "F16" : "F32";
  add("attention", kv_format, select_row(attention_variants(), exact_).name);
  add("kv_store", kv_format, select_row(kv_store_variants(), exact_).name);
  add("quantize_activations", "", select_row(quantize_activations_variants(), exact_).name);
  add("rms_norm", "", select_row(rms_norm_variants(), exact_).name);
  add("rope", "", select_row(rope_variants(), exact_).name);
  add("swiglu", "", select_row(swiglu_variants(), exact_).name);
  add("weighted_sum", "", select_row(weighted_sum_variants(), exact_).name);
  add("router_top_k", "", select_row(router_top_k_variants(), exact_).name);
  return all;
}

Result<std::unique_ptr<PlacedVector>> CpuBackend::place_vector(std::span<const float> values) {
  return std::unique_ptr<PlacedVector>(std::make_unique<CpuVector>(values));
}

Result<MatrixView<float>> CpuBackend::allocate_activations(int64_t rows, int64_t cols) {
  auto memory = MappedMemory::allocate(static_cast<size_t>(rows * cols) * sizeof(float));
  if (!memory) return memory.error();
  activations_.push_back(std::move(*memory));
  return MatrixView<float>(reinterpret_cast<float*>(activations_.back().data()), rows, cols);
}

uint64_t CpuBackend::scratch_bytes() const {
  uint64_t total = ordered_.bytes() + up_ordered_.bytes() + up_x_scratch_.bytes() + x_scratch_.bytes() +
                   hidden_scratch_.bytes() + gate_.bytes() + up_.bytes() + router_logits_.bytes() +
                   expert_outputs_.bytes() + latent_.bytes() + rope_.bytes() + gates_.bytes();
  for (const MappedMemory& memory : activations_) total += memory.size();
  return total;
}

void CpuBackend::begin_step(const StepInputs& inputs) {
  step_.tokens.assign(inputs.tokens.begin(), inputs.tokens.end());
  step_.sequences.assign(inputs.sequences.begin(), inputs.sequences.end());
  step_.logit_rows.assign(inputs.logit_rows.begin(), inputs.logit_rows.end());
  step_.places.clear();
  step_.first_rows.clear();
  for (const AttentionSequence& sequence : step_.sequences) {
    step_.first_rows.push_back(static_cast<int64_t>(step_.places.size()));
    for (int64_t i = 0; i < sequence.n_new; ++i) step_.places.push_back({&sequence, sequence.n_past + i});
  }
  HALOD_ASSERT(step_.places.size() == step_.tokens.size());
  compute_rope(inputs.inverse_frequencies, inputs.rope_magnitude);
}

void CpuBackend::compute_rope(std::span<const float> inverse_frequencies, float magnitude) {
  const auto n_rows = static_cast<int64_t>(step_.places.size()),
             n = static_cast<int64_t>(inverse_frequencies.size());
  step_.rope = {rope_.at_least(n_rows * 2 * n), n_rows, 2 * n};
  threads_.parallel_for(n_rows, 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t i = 0; i < n; ++i) {
        // In double: at position 100,000 an f32 angle is off by up to 0.004 rad.
        const double angle = static_cast<double>(step_.places[static_cast<size_t>(t)].position) *
                             static_cast<double>(inverse_frequencies[static_cast<size_t>(i)]);
        step_.rope(t, i) = static_cast<float>(static_cast<double>(magnitude) * std::cos(angle));
        step_.rope(t, n + i) = static_cast<float>(static_cast<double>(magnitude) * std::sin(angle));
      }
    }
  });
}

void CpuBackend::embed(const PlacedWeight& embedding, MatrixView<float> out) {
  for (size_t t = 0; t < step_.tokens.size(); ++t) {
    cpu_weight(embedding).expand_row(to_int(step_.tokens[t]), out.row_data(static_cast<int64_t>(t)));
  }
}

void CpuBackend::rms_norm(MatrixView<const float> x, const PlacedVector& weight, float epsilon,
                          MatrixView<float> out) {
  const float* weights = cpu_vector(weight).values().data();
  threads_.parallel_for(x.rows, 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t)
      kernels_.rms_norm({x.row_data(t), weights, out.row_data(t), x.cols, epsilon});
  });
}

Activations CpuBackend::prepare(MatrixView<const float> x, bool needs_codes, QuantizedScratch& scratch) {
  Activations out{.values = x};
  if (!needs_codes) return out;
  const int64_t n_groups = x.cols / kActivationGroup;
  int8_t* codes = scratch.codes.at_least(x.rows * x.cols);
  float* scales = scratch.scales.at_least(x.rows * n_groups);
  float* scaled_sums = scratch.scaled_sums.at_least(x.rows * n_groups);
  int32_t* negated_sums16 = scratch.negated_sums16.at_least(x.rows * n_groups * 2);
  threads_.parallel_for(x.rows, 16, [&](int64_t begin, int64_t end, int) {
    kernels_.quantize_activations({x.rows_at(begin, end - begin), codes + begin * x.cols,
                                   scales + begin * n_groups, scaled_sums + begin * n_groups,
                                   negated_sums16 + begin * n_groups * 2});
  });
  out.codes = codes;
  out.scales = scales;
  out.scaled_sums = scaled_sums;
  out.negated_sums16 = negated_sums16;
  return out;
}

void CpuBackend::parallel_for(int64_t n_items, int64_t chunk, int64_t n_multiplications,
                              const std::function<void(int64_t begin, int64_t end, int worker_idx)>& task) {
  if (n_multiplications >= kWorthForking) return threads_.parallel_for(n_items, chunk, task);
  if (n_items > 0) task(0, n_items, 0);
}

void CpuBackend::matmul(const Activations& x, const CpuWeight& weight, MatrixView<float> y, bool accumulate) {
  const int64_t tuned = weight.rows_per_task(x.n_rows());
  parallel_for(weight.rows(), tuned > 0 ? tuned : matmul_rows_per_task(weight.rows(), threads_.n_threads()),
               weight.rows() * weight.cols() * x.n_rows(), [&](int64_t begin, int64_t end, int) {
                 weight.multiply({.weight = weight.expert(0),
                                  .first_row = begin,
                                  .n_rows = end - begin,
                                  .x = x,
                                  .n_tokens = x.n_rows(),
                                  .y = y,
                                  .accumulate = accumulate});
               });
}

MatrixView<const float> CpuBackend::in_order_of(const CpuWeight& weight, MatrixView<const float> x,
                                                Scratch<float>& scratch) {
  if (!weight.has_column_order()) return x;
  const std::span<const int32_t> order = weight.column_order(0);
  const MatrixView<float> ordered(scratch.at_least(x.rows * x.cols), x.rows, x.cols);
  threads_.parallel_for(x.rows, 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      for (size_t i = 0; i < order.size(); ++i) ordered.row_data(t)[i] = x.row_data(t)[order[i]];
    }
  });
  return ordered;
}

void CpuBackend::linear(MatrixView<const float> x, std::span<const PlacedWeight* const> weights,
                        std::span<const MatrixView<float>> outs) {
  // Neighbours of one order together: it is one for q, k and v, which were quantised for the same inputs.
  for (size_t first = 0, n = 0; first < weights.size(); first += n) {
    const CpuWeight& weight = cpu_weight(*weights[first]);
    for (n = 1; first + n < weights.size() && weight.has_order_of(cpu_weight(*weights[first + n]));) ++n;
    linear_in_order(in_order_of(weight, x, ordered_), weights.subspan(first, n), outs.subspan(first, n));
  }
}

void CpuBackend::linear_in_order(MatrixView<const float> x, std::span<const PlacedWeight* const> weights,
                                 std::span<const MatrixView<float>> outs) {
  bool needs_codes = false;
  int64_t n_rows = 0;
  for (const PlacedWeight* weight : weights) {
    needs_codes |= cpu_weight(*weight).needs_codes();
    // A task's rows are a multiple of 16, and matrices start on task boundaries, so that tiles are never
    // shared.
    n_rows += (weight->rows() + kTileRows - 1) / kTileRows * kTileRows;
  }
  const Activations prepared = prepare(x, needs_codes, x_scratch_);
  if (weights.size() == 1) return matmul(prepared, cpu_weight(*weights[0]), outs[0], false);
  // One region over the concatenated rows: q, k and v are too small to be worth a barrier each.
  parallel_for(n_rows, matmul_rows_per_task(n_rows, threads_.n_threads()), n_rows * x.cols * x.rows,
               [&](int64_t begin, int64_t end, int) {
                 int64_t first = 0;
                 for (size_t i = 0; i < weights.size(); ++i) {
                   const CpuWeight& weight = cpu_weight(*weights[i]);
                   const int64_t from = std::max<int64_t>(begin - first, 0),
                                 to = std::min(end - first, weight.rows());
                   if (from < to) {
                     weight.multiply({.weight = weight.expert(0),
                                      .first_row = from,
                                      .n_rows = to - from,
                                      .x = prepared,
                                      .n_tokens = x.rows,
                                      .y = outs[i]});
                   }
                   first += (weight.rows() + kTileRows - 1) / kTileRows * kTileRows;
                 }
               });
}

void CpuBackend::linear_add(MatrixView<const float> x, const PlacedWeight& weight, const PlacedVector* bias,
                            MatrixView<float> residual) {
  matmul(prepare(in_order_of(cpu_weight(weight), x, ordered_), cpu_weight(weight).needs_codes(), x_scratch_),
         cpu_weight(weight), residual, true);
  if (bias) add_bias(residual, *bias);
}

void CpuBackend::gather_logit_rows(MatrixView<const float> x, MatrixView<float> out) {
  for (size_t i = 0; i < step_.logit_rows.size(); ++i) {
    const float* row = x.row_data(step_.logit_rows[i]);
    std::copy(row, row + x.cols, out.row_data(static_cast<int64_t>(i)));
  }
}

void CpuBackend::add(const float* x, float* y, int64_t n) {
  const float one = 1.0F;
  kernels_.weighted_sum({&x, &one, 1, y, n});
}

void CpuBackend::add_bias(MatrixView<float> x, const PlacedVector& bias) {
  const float* values = cpu_vector(bias).values().data();
  threads_.parallel_for(x.rows, 16, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) add(values, x.row_data(t), x.cols);
  });
}

void CpuBackend::dense_ffn(const DenseFfnArgs& args) {
  const FfnInput& input = args.input;
  rms_norm(input.residual, input.norm, input.norm_epsilon, input.normed);
  const int64_t n_tokens = input.normed.rows, width = args.gate.rows();
  const MatrixView<float> gate(gate_.at_least(n_tokens * width), n_tokens, width);
  const MatrixView<float> up(up_.at_least(n_tokens * width), n_tokens, width);
  const PlacedWeight* weights[] = {&args.gate, &args.up};
  const MatrixView<float> outs[] = {gate, up};
  const size_t n_matrices = has_gate(args.activation) ? 2 : 1;
  linear(input.normed, std::span(weights).first(n_matrices), std::span(outs).first(n_matrices));
  threads_.parallel_for(n_tokens, 4, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) activate(args.activation, gate.row_data(t), up.row_data(t), width);
  });
  const CpuWeight& down = cpu_weight(args.down);
  matmul(prepare(in_order_of(down, gate, ordered_), down.needs_codes(), hidden_scratch_), down,
         input.residual, true);
}

void CpuBackend::output(const OutputArgs& args) {
  // The host's memory is the device's, and the sampler finds the best token as fast as anything here could.
  const PlacedWeight* weights[] = {&args.weight};
  linear(args.x, weights, {&args.logits, 1});
}

}  // namespace halod
