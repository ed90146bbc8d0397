// The kernels that a device must have: one row each, for the backend, the resource check and the lanes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "kernels/hip/args.h"
#include "kernels/hip/attention_args.h"
#include "kernels/hip/recurrent_args.h"

// name, arguments, family, threads per block, most vector registers, most shared bytes, instructions that
// must be in it
//
// The registers decide how many waves a SIMD holds to hide the memory's latency: 16 up to 96 of gfx1151's
// 1536, 12 up to 120, 10 up to 144, 9 up to 168, 8 up to 192 (kernels/hip/check_resources.py reads these rows
// and fails where a compiler needs more).
// clang-format off
#define HALOD_HIP_KERNELS(X)                                                                                              \
  X(rms_norm,          RmsNormArgs,          kRows,      256,  24, rms_norm_shared_bytes(),          "global_load_b32")   \
  X(embed,             EmbedArgs,            kRows,      256,  48, 0,                                "global_load_b128")  \
  X(gather,            GatherArgs,           kRows,      256,  24, 0,                                "global_load_b32")   \
  X(gather_columns,    GatherColumnsArgs,    kRows,      256,  24, 0,                                "global_load_b32")   \
  X(argmax,            ArgmaxArgs,           kRows,      256,  24, argmax_shared_bytes(),            "global_load_b32")   \
  X(top_k,             TopKArgs,             kRows,      256,  24, kMaxSharedBytes,                  "global_load_b32 ds_load_b32") \
  X(linear_1,          LinearArgs,           kLinear,    256,  96, 0,                                "global_load_b128 v_dot4_i32_iu8 v_fma_mix_f32") \
  X(linear_2,          LinearArgs,           kLinear,    256,  96, 0,                                "global_load_b128 v_dot4_i32_iu8 v_fma_mix_f32") \
  X(linear_4,          LinearArgs,           kLinear,    256, 120, 0,                                "global_load_b128 v_dot4_i32_iu8 v_fma_mix_f32") \
  X(linear_8,          LinearArgs,           kLinear,    256, 144, 0,                                "global_load_b128 v_dot4_i32_iu8 v_fma_mix_f32") \
  X(attention_prepare, AttentionPrepareArgs, kAttention, 128,  24, 0,                                "global_load_b32")   \
  X(attention_1,       SplitAttentionArgs,   kAttention, 128,  72, attention_shared_bytes(1, kMaxHeadDim), "global_load_b128 v_fma_mix_f32") \
  X(attention_2,       SplitAttentionArgs,   kAttention, 128,  72, attention_shared_bytes(2, kMaxHeadDim), "global_load_b128 v_fma_mix_f32") \
  X(attention_4,       SplitAttentionArgs,   kAttention, 128, 120, attention_shared_bytes(4, kMaxHeadDim), "global_load_b128 v_fma_mix_f32") \
  X(attention_8,       SplitAttentionArgs,   kAttention, 128, 192, attention_shared_bytes(8, kMaxHeadDim), "global_load_b128 v_fma_mix_f32") \
  X(router,            RouterArgs,           kExperts,   256,  72, kMaxSharedBytes,                  "global_load_b128 v_dot4_i32_iu8") \
  X(gate_up_1,         GateUpArgs,           kExperts,   256,  96, gate_up_shared_bytes(1),          "global_load_b128 v_dot4_i32_iu8 v_fma_mix_f32") \
  X(gate_up_2,         GateUpArgs,           kExperts,   256,  96, gate_up_shared_bytes(2),          "global_load_b128 v_dot4_i32_iu8 v_fma_mix_f32") \
  X(gate_up_4,         GateUpArgs,           kExperts,   256, 120, gate_up_shared_bytes(4),          "global_load_b128 v_dot4_i32_iu8 v_fma_mix_f32") \
  X(experts_down,      ExpertsDownArgs,      kExperts,   256,  96, 0,                                "global_load_b128 v_dot4_i32_iu8 v_fma_mix_f32") \
  X(group_slots,       GroupSlotsArgs,       kPrompts,   256,  24, group_slots_shared_bytes(),       "global_load_b32")   \
  X(prompt_linear_16,  PromptLinearArgs,     kPrompts,   256, 168, prompt_shared_bytes(1, 2),        "global_load_b128 ds_load_b128 v_wmma_i32_16x16x16_iu8") \
  X(prompt_linear_32,  PromptLinearArgs,     kPrompts,   256, 240, prompt_shared_bytes(2, 2),        "global_load_b128 ds_load_b128 v_wmma_i32_16x16x16_iu8") \
  X(prompt_linear_64,  PromptLinearArgs,     kPrompts,   256, 240, prompt_shared_bytes(4, 1),        "global_load_b128 ds_load_b128 v_wmma_i32_16x16x16_iu8") \
  X(prompt_linear_floats,  PromptLinearArgs, kPrompts,   256, 216, prompt_shared_bytes(2, 2),        "global_load_b128 ds_load_b128 v_dual_fmac_f32") \
  X(prompt_gate_up_floats, PromptGateUpArgs, kPrompts,   256, 216, prompt_shared_bytes(2, 2),        "global_load_b128 ds_load_b128 v_dual_fmac_f32") \
  X(prompt_gate_up_16, PromptGateUpArgs,     kPrompts,   256, 168, prompt_shared_bytes(1, 2),        "global_load_b128 ds_load_b128 v_wmma_i32_16x16x16_iu8") \
  X(prompt_gate_up_32, PromptGateUpArgs,     kPrompts,   256, 240, prompt_shared_bytes(2, 2),        "global_load_b128 ds_load_b128 v_wmma_i32_16x16x16_iu8") \
  X(causal_conv,       CausalConvArgs,       kRecurrent, 256,  96, 0,                                "global_load_b32")   \
  X(delta_net_64,      DeltaNetArgs,         kRecurrent, 128,  96, delta_net_shared_bytes(64),        "global_load_b128 global_store_b128 ds_load_b128") \
  X(delta_net_128,     DeltaNetArgs,         kRecurrent, 256, 144, delta_net_shared_bytes(128),       "global_load_b128 global_store_b128 ds_load_b128") \
  X(ssm_scan_128,      SsmScanArgs,          kRecurrent, 128, 120, ssm_scan_shared_bytes(128),       "global_load_b128 global_store_b128 ds_load_b128") \
  X(ssm_scan_256,      SsmScanArgs,          kRecurrent, 128, 192, ssm_scan_shared_bytes(256),       "global_load_b128 global_store_b128 ds_load_b128") \
  X(group_norm,        GroupNormArgs,        kRecurrent, 256,  24, kMaxSharedBytes,                  "global_load_b32")   \
  X(experts_sum,       ExpertsSumArgs,       kPrompts,   256,  24, 0,                                "global_load_b32")   \
  X(prompt_attention_64,  PromptAttentionArgs, kPrompts, 256, 168, prompt_attention_shared_bytes(64),  "global_load_b128 ds_load_b128 v_wmma_f32_16x16x16_f16") \
  X(prompt_attention_128, PromptAttentionArgs, kPrompts, 256, 216, prompt_attention_shared_bytes(128), "global_load_b128 ds_load_b128 v_wmma_f32_16x16x16_f16") \
  X(prompt_attention_256, PromptAttentionArgs, kPrompts, 256, 240, prompt_attention_shared_bytes(256), "global_load_b128 ds_load_b128 v_wmma_f32_16x16x16_f16") \
  X(flash_decode_64,   FlashDecodeArgs,      kPrompts,   128, 144, flash_decode_shared_bytes(64),     "global_load_b128 ds_load_b128 v_wmma_f32_16x16x16_f16") \
  X(flash_decode_128,  FlashDecodeArgs,      kPrompts,   128, 216, flash_decode_shared_bytes(128),    "global_load_b128 ds_load_b128 v_wmma_f32_16x16x16_f16") \
  X(flash_decode_256,  FlashDecodeArgs,      kPrompts,   128, 192, flash_decode_shared_bytes(256),    "global_load_b128 ds_load_b128 v_wmma_f32_16x16x16_f16")
// clang-format on

namespace halod::hip {

/// What one workgroup may have of RDNA 3's 128 KiB.
inline constexpr int kMaxSharedBytes = 64 << 10;

enum class KernelId : uint8_t {
#define HALOD_ROW(name, ...) name,
  HALOD_HIP_KERNELS(HALOD_ROW)
#undef HALOD_ROW
};

/// Kernels of one family are tested together when a device is opened.
enum class KernelFamily : uint8_t { kRows, kLinear, kAttention, kExperts, kRecurrent, kPrompts };

struct KernelRow {
  KernelId id;
  KernelFamily family;
  std::string_view name;  ///< of its symbol
  size_t args_bytes;
  int n_threads;         ///< per block
  int max_vgprs;         ///< the resource check's limit
  int max_shared_bytes;  ///< of a launch
};

/// In the order of the enumeration. Thread: any.
std::span<const KernelRow> kernel_table();
const KernelRow& kernel_row(KernelId id);

/// One cutting of a prompt's matrix products into tiles: tuning data. A block takes `rows` rows of x and
/// `weight_rows` weight rows (of the gate and of the up-projection each), kPromptDepth columns a step.
struct PromptTile {
  KernelId kernel;
  int row_fragments;     ///< of 16 rows of x, per wave
  int weight_fragments;  ///< of 16 weight rows, per wave
  int weight_rows;

  constexpr int rows() const { return row_fragments * kFragment; }
  constexpr int shared_bytes() const { return prompt_shared_bytes(row_fragments, weight_fragments); }
};
/// Smallest first. Thread: any.
std::span<const PromptTile> prompt_linear_tiles(WeightKind kind);
std::span<const PromptTile> prompt_gate_up_tiles(WeightKind kind);
/// The tile for n_rows rows of x that go through each of n_experts matrices on average. Results do not depend
/// on it.
const PromptTile& choose_tile(std::span<const PromptTile> tiles, int64_t n_rows, int64_t n_experts);

/// Attention on the matrix unit: of many rows of a sequence, of single ones. Their bits are the same.
struct FlashAttention {
  KernelId prompt, decode;
};
/// nullptr when none is written for such heads: attention_kernel() takes all rows then.
const FlashAttention* find_flash_attention(int64_t head_dim);

/// The gated delta rule of such heads; nullptr when none is written for them.
const KernelId* delta_net_kernel(int64_t head_dim);

/// Mamba-2's scan, written for states of up to so many rows.
struct SsmScan {
  KernelId kernel;
  int most_rows;
};
/// nullptr when none is written for heads of such states.
const SsmScan* find_ssm_scan(int64_t state_size, int64_t head_dim);

/// A launch that runs for 2 s resets the GPU, and nothing else is drawn meanwhile. So a prompt's launches are
/// cut where they have more operations than this: 10 ms at the 30 TFLOP/s of docs/performance-gfx1151.md,
/// 100 ms where a kernel reaches a tenth of them. For Qwen3-30B-A3B:
///   gate and up        50 million operations a token   cut at 5,961 tokens
///   q, k and v         21                              cut at 14,305
///   output matrix      622                             cut at 481 rows
///   attention          16,384 per row and key          cut at 4,471 rows of 4k keys, 139 of 128k
inline constexpr double kMaxLaunchOperations = 3e11;
/// Rows that a launch may take, a multiple of `multiple`.
int64_t rows_per_launch(double operations_per_row, int64_t multiple);

/// The row of a kernel that comes in sizes 1, 2, 4, 8 (as far as it does): the smallest that holds n.
KernelId linear_kernel(int n_tokens);
KernelId gate_up_kernel(int n_tokens);
KernelId attention_kernel(int n_heads);
/// How many rows or heads that kernel takes at once.
int kernel_capacity(int n, int largest);

}  // namespace halod::hip
