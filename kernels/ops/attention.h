// Causal attention of a few queries over a paged KV cache, online softmax page by page.
//
// A page of one layer and one KV head holds 32 tokens: keys transposed, [head_dim][32], so that a query meets
// 32 keys at once without horizontal sums; then values, [32][head_dim].
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/ops/variant.h"

namespace halod {

/// Tokens per KV page; runtime/backend/backend.h says the same to models.
inline constexpr int64_t kAttentionPageTokens = 32;
/// Query heads, of all tokens together, that one call may take.
inline constexpr int64_t kMaxQueryGroup = 8;

enum class KvType : uint8_t { kF16, kF32 };
constexpr int64_t kv_type_bytes(KvType type) { return type == KvType::kF16 ? 2 : 4; }
/// Bytes of one page for one layer and KV head: keys and values.
constexpr int64_t kv_head_page_bytes(KvType type, int64_t head_dim) {
  return 2 * kAttentionPageTokens * head_dim * kv_type_bytes(type);
}

/// out[h] = sum_j softmax_j(scale * q[h] . k_j) v_j over the tokens [first_key, n_keys) of the pages, for the
/// n_heads query heads that share one KV head; and the same for the tokens that follow, each of which sees
/// one key more. head_dim is a multiple of 16. Bits depend on q[h] and the keys alone.
struct AttentionKernelArgs {
  const float* q = nullptr;  ///< [n_tokens][n_heads][head_dim]; a token's heads are contiguous
  float* out = nullptr;      ///< the same shape
  int64_t n_heads = 0;       ///< 1 … kMaxQueryGroup
  int64_t n_tokens = 1;  ///< n_tokens * n_heads <= kMaxQueryGroup; more than one only where first_key is 0
  int64_t q_stride = 0, out_stride = 0;  ///< floats from one token's q, and out, to the next one's
  int64_t head_dim = 0;                  ///< at most 256
  float scale = 0;
  std::span<const std::byte* const> pages;  ///< of this layer and KV head, in token order
  int64_t first_key = 0;                    ///< 0 ... n_keys - 1: what a sliding window begins with
  int64_t n_keys = 0;                       ///< >= 1, of the first token; pages hold those of the last
  const float* sinks = nullptr;  ///< [n_heads] one more logit in each softmax, with no value; nullptr = none
  KvType type = KvType::kF16;
  bool reads_from_memory = false;  ///< no neighbour has just read these pages: ask for them ahead
};

/// Writes one token's key and value at slot `slot` of a page.
struct KvStoreArgs {
  const float* k = nullptr;  ///< [head_dim]
  const float* v = nullptr;  ///< [head_dim]
  std::byte* page = nullptr;
  int64_t slot = 0;  ///< 0 … 31
  int64_t head_dim = 0;
  KvType type = KvType::kF16;
};

using AttentionVariant = KernelVariant<AttentionKernelArgs>;
using KvStoreVariant = KernelVariant<KvStoreArgs>;
std::span<const AttentionVariant> attention_variants();
std::span<const KvStoreVariant> kv_store_variants();

}  // namespace halod
