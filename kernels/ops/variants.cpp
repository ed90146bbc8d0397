// The tables: best row first, the reference last.
#include <array>

#include "kernels/cpu/tables.h"
#include "kernels/cpu/tile_layout.h"
#include "kernels/ops/reference.h"

namespace halod {
namespace {

bool supports_tiles(Format format, int64_t cols) {
  const FormatTraits& f = traits(format);
  return find_tile_layout(format) != nullptr && cols > 0 && cols % f.block_elements == 0 &&
         cols % kActivationGroup == 0;
}
bool supports_expansion(Format format, int64_t cols) {
  const FormatTraits& f = traits(format);
  return f.expand != nullptr && cols > 0 && cols % f.block_elements == 0;
}
bool supports_float_rows(Format format, int64_t) { return traits(format).block_elements == 1; }
bool supports_any_rows(Format format, int64_t cols) { return cols % traits(format).block_elements == 0; }

template <void (*run)(const MatmulArgs&, TileSettings), TileSettings settings>
void tiles(const MatmulArgs& args) {
  run(args, settings);
}
template <void (*run)(const MatmulArgs&, TileSettings), int64_t max_tokens = TileSettings().max_tokens>
void untuned_tiles(const MatmulArgs& args) {
  const FormatTraits& f = traits(args.weight.format);
  TileSettings settings = TileSettings::untuned(cpu_features().microarchitecture,
                                                f.block_bytes >= f.block_elements, args.n_tokens);
  settings.max_tokens = max_tokens;
  run(args, settings);
}

constexpr std::string_view kFusedTiles = "tiles, fused", kFusedExpanded = "expanded, fused";

/// The first of an instruction set's rows is what runs untuned. Those below it, which differ in their
/// TileSettings, are the candidates of tuning; names say how: near, ahead0 to ahead2, block4, pairs.
constexpr std::array kMatmul = {
    MatmulVariant{"amx_int8_tiles16", Isa::kAmx, WeightLayout::kTiles16, true, kFusedTiles, supports_tiles,
                  untuned_tiles<amx::matmul_tiles>, 16},
    MatmulVariant{"avx512_vnni_tiles16", Isa::kAvx512Vnni, WeightLayout::kTiles16, true, kFusedTiles,
                  supports_tiles, untuned_tiles<avx512::matmul_tiles>},
    MatmulVariant{"avx512_vnni_tiles16_near", Isa::kAvx512Vnni, WeightLayout::kTiles16, true, kFusedTiles,
                  supports_tiles, tiles<avx512::matmul_tiles, TileSettings{.ahead = Ahead::kNear}>},
    MatmulVariant{"avx512_vnni_tiles16_ahead0", Isa::kAvx512Vnni, WeightLayout::kTiles16, true, kFusedTiles,
                  supports_tiles, tiles<avx512::matmul_tiles, TileSettings{}>},
    MatmulVariant{"avx512_vnni_tiles16_ahead1", Isa::kAvx512Vnni, WeightLayout::kTiles16, true, kFusedTiles,
                  supports_tiles, tiles<avx512::matmul_tiles, TileSettings{.ahead = Ahead::kNextTile}>},
    MatmulVariant{"avx512_vnni_tiles16_ahead2", Isa::kAvx512Vnni, WeightLayout::kTiles16, true, kFusedTiles,
                  supports_tiles, tiles<avx512::matmul_tiles, TileSettings{.ahead = Ahead::kTileAfterNext}>},
    MatmulVariant{"avx512_vnni_tiles16_block4", Isa::kAvx512Vnni, WeightLayout::kTiles16, true, kFusedTiles,
                  supports_tiles, untuned_tiles<avx512::matmul_tiles, 4>, 5},
    MatmulVariant{"avx512_vnni_tiles16_block4_ahead0", Isa::kAvx512Vnni, WeightLayout::kTiles16, true,
                  kFusedTiles, supports_tiles, tiles<avx512::matmul_tiles, TileSettings{.max_tokens = 4}>, 5},
    MatmulVariant{"avx512_vnni_tiles16_pairs", Isa::kAvx512Vnni, WeightLayout::kTiles16, true, kFusedTiles,
                  supports_tiles, tiles<avx512::matmul_tiles, TileSettings{.in_pairs = true}>},
    MatmulVariant{"avx512_vnni_tiles16_pairs_near", Isa::kAvx512Vnni, WeightLayout::kTiles16, true,
                  kFusedTiles, supports_tiles,
                  tiles<avx512::matmul_tiles, TileSettings{.ahead = Ahead::kNear, .in_pairs = true}>},
    MatmulVariant{"avx512_vnni_tiles16_pairs_ahead1", Isa::kAvx512Vnni, WeightLayout::kTiles16, true,
                  kFusedTiles, supports_tiles,
                  tiles<avx512::matmul_tiles, TileSettings{.ahead = Ahead::kNextTile, .in_pairs = true}>},
    MatmulVariant{"avx512_vnni_expanded16", Isa::kAvx512Vnni, WeightLayout::kRows, true, kFusedExpanded,
                  supports_expansion, avx512::matmul_expanded},
    MatmulVariant{"avx512_float_rows", Isa::kAvx512Vnni, WeightLayout::kRows, false, "avx512_float_rows",
                  supports_float_rows, avx512::matmul_rows},
    MatmulVariant{"avx2_tiles16", Isa::kAvx2, WeightLayout::kTiles16, true, kFusedTiles, supports_tiles,
                  untuned_tiles<avx2::matmul_tiles>},
    MatmulVariant{"avx2_tiles16_near", Isa::kAvx2, WeightLayout::kTiles16, true, kFusedTiles, supports_tiles,
                  tiles<avx2::matmul_tiles, TileSettings{.ahead = Ahead::kNear}>},
    MatmulVariant{"avx2_tiles16_ahead0", Isa::kAvx2, WeightLayout::kTiles16, true, kFusedTiles,
                  supports_tiles, tiles<avx2::matmul_tiles, TileSettings{}>},
    MatmulVariant{"avx2_tiles16_ahead1", Isa::kAvx2, WeightLayout::kTiles16, true, kFusedTiles,
                  supports_tiles, tiles<avx2::matmul_tiles, TileSettings{.ahead = Ahead::kNextTile}>},
    MatmulVariant{"avx2_tiles16_ahead2", Isa::kAvx2, WeightLayout::kTiles16, true, kFusedTiles,
                  supports_tiles, tiles<avx2::matmul_tiles, TileSettings{.ahead = Ahead::kTileAfterNext}>},
    MatmulVariant{"avx2_tiles16_block2", Isa::kAvx2, WeightLayout::kTiles16, true, kFusedTiles,
                  supports_tiles, untuned_tiles<avx2::matmul_tiles, 2>, 4},
    MatmulVariant{"avx2_expanded16", Isa::kAvx2, WeightLayout::kRows, true, kFusedExpanded,
                  supports_expansion, avx2::matmul_expanded},
    MatmulVariant{"avx2_float_rows", Isa::kAvx2, WeightLayout::kRows, false, "avx2_float_rows",
                  supports_float_rows, avx2::matmul_rows},
    MatmulVariant{"baseline_tiles16", Isa::kBaseline, WeightLayout::kTiles16, true, "tiles", supports_tiles,
                  untuned_tiles<baseline::matmul_tiles>},
    MatmulVariant{"baseline_expanded16", Isa::kBaseline, WeightLayout::kRows, true, "expanded",
                  supports_expansion, baseline::matmul_expanded},
    MatmulVariant{"baseline_float_rows", Isa::kBaseline, WeightLayout::kRows, false, "baseline_float_rows",
                  supports_float_rows, baseline::matmul_rows},
    MatmulVariant{"reference", Isa::kReference, WeightLayout::kRows, false, "reference", supports_any_rows,
                  reference::matmul},
};

/// The usual four rows of an operation that every instruction set has.
template <class Args>
constexpr std::array<KernelVariant<Args>, 4> rows(void (*avx512_run)(const Args&),
                                                  void (*avx2_run)(const Args&),
                                                  void (*baseline_run)(const Args&),
                                                  void (*reference_run)(const Args&)) {
  return {KernelVariant<Args>{"avx512", Isa::kAvx512Vnni, avx512_run},
          KernelVariant<Args>{"avx2", Isa::kAvx2, avx2_run},
          KernelVariant<Args>{"baseline", Isa::kBaseline, baseline_run},
          KernelVariant<Args>{"reference", Isa::kReference, reference_run}};
}

constexpr auto kQuantizeActivations = rows(avx512::quantize_activations, avx2::quantize_activations,
                                           baseline::quantize_activations, reference::quantize_activations);
constexpr auto kAttention =
    rows(avx512::attention, avx2::attention, baseline::attention, reference::attention);
constexpr auto kKvStore = rows(avx512::kv_store, avx2::kv_store, baseline::kv_store, reference::kv_store);
constexpr auto kRmsNorm = rows(avx512::rms_norm, avx2::rms_norm, baseline::rms_norm, reference::rms_norm);
constexpr auto kRope = rows(avx512::rope, avx2::rope, baseline::rope, reference::rope);
constexpr auto kSwiglu = rows(avx512::swiglu, avx2::swiglu, baseline::swiglu, reference::swiglu);
constexpr auto kClampedSwiglu =
    rows(avx512::clamped_swiglu, avx2::clamped_swiglu, baseline::clamped_swiglu, reference::clamped_swiglu);
constexpr auto kSquaredRelu =
    rows(avx512::squared_relu, avx2::squared_relu, baseline::squared_relu, reference::squared_relu);
constexpr auto kSigmoidGate =
    rows(avx512::sigmoid_gate, avx2::sigmoid_gate, baseline::sigmoid_gate, reference::sigmoid_gate);
constexpr auto kCausalConv =
    rows(avx512::causal_conv, avx2::causal_conv, baseline::causal_conv, reference::causal_conv);
constexpr auto kDeltaRule =
    rows(avx512::delta_rule, avx2::delta_rule, baseline::delta_rule, reference::delta_rule);
// A few dozen exponentials a token, beside matrices of 16,000.
constexpr std::array kDeltaGates = {
    KernelVariant<DeltaGatesArgs>{"reference", Isa::kReference, reference::delta_gates}};
constexpr auto kSsmScan = rows(avx512::ssm_scan, avx2::ssm_scan, baseline::ssm_scan, reference::ssm_scan);
// As many.
constexpr std::array kSsmGates = {
    KernelVariant<SsmGatesArgs>{"reference", Isa::kReference, reference::ssm_gates}};
constexpr auto kWeightedSum =
    rows(avx512::weighted_sum, avx2::weighted_sum, baseline::weighted_sum, reference::weighted_sum);
// A hundred experts a token: nothing to win over the reference, and its exactness keeps close choices stable.
constexpr std::array kRouterTopK = {
    KernelVariant<RouterTopKArgs>{"reference", Isa::kReference, reference::router_top_k}};

constexpr std::array kReadPeak = {
    KernelVariant<ReadPeakArgs>{"avx512", Isa::kAvx512Vnni, avx512::read_peak},
    KernelVariant<ReadPeakArgs>{"avx2", Isa::kAvx2, avx2::read_peak},
    KernelVariant<ReadPeakArgs>{"baseline", Isa::kBaseline, baseline::read_peak}};
constexpr std::array kIntegerPeak = {
    KernelVariant<PeakArgs>{"amx_int8", Isa::kAmx, amx::integer_peak},
    KernelVariant<PeakArgs>{"avx512", Isa::kAvx512Vnni, avx512::integer_peak},
    KernelVariant<PeakArgs>{"avx2", Isa::kAvx2, avx2::integer_peak},
    KernelVariant<PeakArgs>{"baseline", Isa::kBaseline, baseline::integer_peak}};
constexpr std::array kFloatPeak = {KernelVariant<PeakArgs>{"avx512", Isa::kAvx512Vnni, avx512::float_peak},
                                   KernelVariant<PeakArgs>{"avx2", Isa::kAvx2, avx2::float_peak},
                                   KernelVariant<PeakArgs>{"baseline", Isa::kBaseline, baseline::float_peak}};

}  // namespace

std::span<const MatmulVariant> matmul_variants() { return kMatmul; }
std::span<const QuantizeActivationsVariant> quantize_activations_variants() { return kQuantizeActivations; }
std::span<const AttentionVariant> attention_variants() { return kAttention; }
std::span<const KvStoreVariant> kv_store_variants() { return kKvStore; }
std::span<const KernelVariant<RmsNormArgs>> rms_norm_variants() { return kRmsNorm; }
std::span<const KernelVariant<RopeArgs>> rope_variants() { return kRope; }
std::span<const KernelVariant<SwigluArgs>> swiglu_variants() { return kSwiglu; }
std::span<const KernelVariant<ClampedSwigluArgs>> clamped_swiglu_variants() { return kClampedSwiglu; }
std::span<const KernelVariant<SigmoidGateArgs>> sigmoid_gate_variants() { return kSigmoidGate; }
std::span<const KernelVariant<CausalConvArgs>> causal_conv_variants() { return kCausalConv; }
std::span<const KernelVariant<DeltaRuleArgs>> delta_rule_variants() { return kDeltaRule; }
std::span<const KernelVariant<DeltaGatesArgs>> delta_gates_variants() { return kDeltaGates; }
std::span<const KernelVariant<SquaredReluArgs>> squared_relu_variants() { return kSquaredRelu; }
std::span<const KernelVariant<SsmScanArgs>> ssm_scan_variants() { return kSsmScan; }
std::span<const KernelVariant<SsmGatesArgs>> ssm_gates_variants() { return kSsmGates; }
std::span<const KernelVariant<WeightedSumArgs>> weighted_sum_variants() { return kWeightedSum; }
std::span<const KernelVariant<RouterTopKArgs>> router_top_k_variants() { return kRouterTopK; }
std::span<const KernelVariant<ReadPeakArgs>> read_peak_variants() { return kReadPeak; }
std::span<const KernelVariant<PeakArgs>> integer_peak_variants() { return kIntegerPeak; }
std::span<const KernelVariant<PeakArgs>> float_peak_variants() { return kFloatPeak; }

const MatmulVariant* select_matmul(Format format, int64_t cols, bool exact) {
  for (const MatmulVariant& variant : kMatmul) {
    if (exact && variant.isa != Isa::kReference) continue;
    if (runs_on(variant.isa, cpu_features()) && variant.supports(format, cols)) return &variant;
  }
  return nullptr;
}

std::vector<const MatmulVariant*> matmul_equals(const MatmulVariant& variant, Format format, int64_t cols) {
  std::vector<const MatmulVariant*> equals = {&variant};
  for (const MatmulVariant& other : kMatmul) {
    if (&other != &variant && other.results == variant.results && other.layout == variant.layout &&
        runs_on(other.isa, cpu_features()) && other.supports(format, cols))
      equals.push_back(&other);
  }
  return equals;
}

int64_t matmul_weight_bytes(const MatmulArgs& args) {
  return args.n_rows * traits(args.weight.format).row_bytes(args.weight.cols);
}

int64_t matmul_flops(const MatmulArgs& args) { return 2 * args.n_rows * args.weight.cols * args.n_tokens; }

}  // namespace halod
