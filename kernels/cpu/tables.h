// The kernels of one instruction set, as the variant tables in kernels/ops name them. Declared once per
// instruction set.
#pragma once

#include "kernels/cpu/tile_settings.h"
#include "kernels/ops/activations.h"
#include "kernels/ops/attention.h"
#include "kernels/ops/elementwise.h"
#include "kernels/ops/matmul.h"
#include "kernels/ops/peak.h"
#include "kernels/ops/recurrent.h"

#define HALOD_DECLARE_CPU_KERNELS(isa)                            \
  namespace halod::isa {                                          \
  void matmul_tiles(const MatmulArgs& args, TileSettings);        \
  void matmul_tiles_k(const MatmulArgs& args, TileSettings);      \
  void matmul_tiles_int(const MatmulArgs& args, TileSettings);    \
  void matmul_expanded(const MatmulArgs& args);                   \
  void matmul_rows(const MatmulArgs& args);                       \
  void quantize_activations(const QuantizeActivationsArgs& args); \
  void attention(const AttentionKernelArgs& args);                \
  void kv_store(const KvStoreArgs& args);                         \
  void rms_norm(const RmsNormArgs& args);                         \
  void rope(const RopeArgs& args);                                \
  void swiglu(const SwigluArgs& args);                            \
  void clamped_swiglu(const ClampedSwigluArgs& args);             \
  void sigmoid_gate(const SigmoidGateArgs& args);                 \
  void causal_conv(const CausalConvArgs& args);                   \
  void delta_rule(const DeltaRuleArgs& args);                     \
  void ssm_scan(const SsmScanArgs& args);                         \
  void squared_relu(const SquaredReluArgs& args);                 \
  void weighted_sum(const WeightedSumArgs& args);                 \
  void read_peak(const ReadPeakArgs& args);                       \
  void integer_peak(const PeakArgs& args);                        \
  void float_peak(const PeakArgs& args);                          \
  }

HALOD_DECLARE_CPU_KERNELS(baseline)
HALOD_DECLARE_CPU_KERNELS(avx2)
HALOD_DECLARE_CPU_KERNELS(avx512)
#undef HALOD_DECLARE_CPU_KERNELS

#define HALOD_DECLARE_MATRIX_UNIT_KERNELS(isa)                 \
  namespace halod::isa {                                       \
  void matmul_tiles(const MatmulArgs& args, TileSettings);     \
  void matmul_tiles_k(const MatmulArgs& args, TileSettings);   \
  void matmul_tiles_int(const MatmulArgs& args, TileSettings); \
  }

HALOD_DECLARE_MATRIX_UNIT_KERNELS(amx)
HALOD_DECLARE_MATRIX_UNIT_KERNELS(amx_emulated)  // tests link it, halod does not
#undef HALOD_DECLARE_MATRIX_UNIT_KERNELS

namespace halod::amx {
void integer_peak(const PeakArgs& args);
}
