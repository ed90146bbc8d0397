// Attention of one query position over paged keys and values; see kernels/ops/attention.h for the page
// layout.
//
// All query heads that share a KV head go together: each key and value is loaded and widened once for up to
// eight heads. Per page of 32 keys: scores by broadcast-multiply over the transposed keys (no horizontal
// sums), the online softmax update, then the weighted values. A lone query reads every page from memory, and
// pages of one head lie apart, where hardware prefetchers lose them: it asks for the next page meanwhile.
#include "kernels/cpu/simd.h"
#include "kernels/cpu/tables.h"

namespace halod::HALOD_ISA {
namespace {

constexpr int64_t kPage = kAttentionPageTokens;
constexpr int64_t kMaxHeadDim = 256;

template <KvType type>
struct KvElement;
template <>
struct KvElement<KvType::kF16> {
  using Type = uint16_t;
  static F32x16 load16(const uint16_t* p) { return load_f16(p); }
  static void store16(uint16_t* p, F32x16 x) { store_f16(p, x); }
};
template <>
struct KvElement<KvType::kF32> {
  using Type = float;
  static F32x16 load16(const float* p) { return load(p); }
  static void store16(float* p, F32x16 x) { store(p, x); }
};

/// The running softmax of n heads: exact after every page.
template <int n_heads>
struct RunningSoftmax {
  float scores[n_heads][kPage];
  float max[n_heads];
  float sum[n_heads];
  float out[n_heads][kMaxHeadDim];
};

/// Into the second level: a page of keys and values is half of the first.
inline void prefetch(const void* at) { __builtin_prefetch(at, 0, 2); }

/// `ahead`: keys to ask for meanwhile; nullptr = none.
template <KvType type, int n_heads>
void score_page(const AttentionKernelArgs& args, int64_t first_head,
                const typename KvElement<type>::Type* keys, const typename KvElement<type>::Type* ahead,
                RunningSoftmax<n_heads>& state) {
  F32x16 lo[n_heads], hi[n_heads];
  for (int h = 0; h < n_heads; ++h) lo[h] = hi[h] = zero_f32();
  const float* q = args.q + first_head * args.head_dim;
  for (int64_t d = 0; d < args.head_dim; ++d) {
    const F32x16 k_lo = KvElement<type>::load16(keys + d * kPage),
                 k_hi = KvElement<type>::load16(keys + d * kPage + kLanes);
    if (ahead) prefetch(ahead + d * kPage);
#pragma GCC unroll 8
    for (int h = 0; h < n_heads; ++h) {
      const F32x16 query = broadcast(q[h * args.head_dim + d]);
      lo[h] = fma(query, k_lo, lo[h]);
      hi[h] = fma(query, k_hi, hi[h]);
    }
  }
  const F32x16 scale = broadcast(args.scale);
  for (int h = 0; h < n_heads; ++h) {
    store(state.scores[h], lo[h] * scale);
    store(state.scores[h] + kLanes, hi[h] * scale);
  }
}

/// Turns one head's scores into weights relative to the new maximum; returns what the older sum and output
/// must be multiplied by.
inline float update_softmax(float* scores, int64_t n_skipped, int64_t n_valid, float& running_max,
                            float& running_sum) {
  for (int64_t j = 0; j < n_skipped; ++j) scores[j] = -INFINITY;
  for (int64_t j = n_valid; j < kPage; ++j) scores[j] = -INFINITY;
  const F32x16 lo = load(scores), hi = load(scores + kLanes);
  const float page_max = max_lane(max(lo, hi));
  const float new_max = page_max > running_max ? page_max : running_max;
  const F32x16 shift = broadcast(new_max);
  store(scores, exp(lo - shift));
  store(scores + kLanes, exp(hi - shift));
  // exp() never returns less than e^-87; a masked key's weight is exactly nothing.
  for (int64_t j = 0; j < n_skipped; ++j) scores[j] = 0;
  for (int64_t j = n_valid; j < kPage; ++j) scores[j] = 0;
  float correction[kLanes];
  store(correction, exp(broadcast(running_max - new_max)));
  running_sum = running_sum * correction[0] + sum(load(scores) + load(scores + kLanes));
  running_max = new_max;
  return correction[0];
}

/// `ahead`: values to ask for meanwhile; nullptr = none.
template <KvType type, int n_heads>
void add_values(const AttentionKernelArgs& args, const typename KvElement<type>::Type* values,
                const typename KvElement<type>::Type* ahead, int64_t n_skipped, int64_t n_valid,
                const float* corrections, RunningSoftmax<n_heads>& state) {
  for (int64_t d = 0; d < args.head_dim; d += kLanes) {
    if (ahead) {
      for (int64_t j = 0; j < kPage; j += 2) prefetch(ahead + d * kPage + j * kLanes);
    }
    F32x16 acc[n_heads];
    for (int h = 0; h < n_heads; ++h) acc[h] = load(state.out[h] + d) * broadcast(corrections[h]);
    for (int64_t j = n_skipped; j < n_valid; ++j) {
      const F32x16 value = KvElement<type>::load16(values + j * args.head_dim + d);
#pragma GCC unroll 8
      for (int h = 0; h < n_heads; ++h) acc[h] = fma(broadcast(state.scores[h][j]), value, acc[h]);
    }
    for (int h = 0; h < n_heads; ++h) store(state.out[h] + d, acc[h]);
  }
}

template <KvType type, int n_heads>
void attend(const AttentionKernelArgs& args, int64_t first_head) {
  using Type = typename KvElement<type>::Type;
  RunningSoftmax<n_heads> state;
  for (int h = 0; h < n_heads; ++h) {
    state.max[h] = args.sinks ? args.sinks[first_head + h] : -INFINITY;
    state.sum[h] = args.sinks ? 1.0F : 0.0F;
    std::memset(state.out[h], 0, static_cast<size_t>(args.head_dim) * sizeof(float));
  }
  for (int64_t page = args.first_key / kPage; page * kPage < args.n_keys; ++page) {
    const auto* keys = reinterpret_cast<const Type*>(args.pages[static_cast<size_t>(page)]);
    const bool is_followed = args.reads_from_memory && (page + 1) * kPage < args.n_keys;
    const auto* ahead =
        is_followed ? reinterpret_cast<const Type*>(args.pages[static_cast<size_t>(page) + 1]) : nullptr;
    const int64_t left = args.n_keys - page * kPage, n_valid = left < kPage ? left : kPage;
    const int64_t n_hidden = args.first_key - page * kPage, n_skipped = n_hidden > 0 ? n_hidden : 0;
    score_page<type, n_heads>(args, first_head, keys, ahead, state);
    float corrections[n_heads];
    for (int h = 0; h < n_heads; ++h) {
      corrections[h] = update_softmax(state.scores[h], n_skipped, n_valid, state.max[h], state.sum[h]);
    }
    const int64_t values_at = args.head_dim * kPage;
    add_values<type, n_heads>(args, keys + values_at, ahead ? ahead + values_at : nullptr, n_skipped, n_valid,
                              corrections, state);
  }
  for (int h = 0; h < n_heads; ++h) {
    const F32x16 inverse = broadcast(1.0F / state.sum[h]);
    float* out = args.out + (first_head + h) * args.head_dim;
    for (int64_t d = 0; d < args.head_dim; d += kLanes) store(out + d, load(state.out[h] + d) * inverse);
  }
}

template <KvType type>
void attend_all(const AttentionKernelArgs& args) {
  int64_t head = 0;
#if defined(__AVX512VNNI__)
  // Sixteen accumulators; with AVX2's sixteen registers two heads are what fits.
  for (; head + 8 <= args.n_heads; head += 8) attend<type, 8>(args, head);
  for (; head + 4 <= args.n_heads; head += 4) attend<type, 4>(args, head);
#endif
  for (; head + 2 <= args.n_heads; head += 2) attend<type, 2>(args, head);
  for (; head < args.n_heads; ++head) attend<type, 1>(args, head);
}

template <KvType type>
void store_token(const KvStoreArgs& args) {
  using Type = typename KvElement<type>::Type;
  auto* keys = reinterpret_cast<Type*>(args.page);
  Type* values = keys + args.head_dim * kPage + args.slot * args.head_dim;
  for (int64_t d = 0; d < args.head_dim; d += kLanes) {
    Type lanes[kLanes];
    KvElement<type>::store16(lanes, load(args.k + d));
    for (int i = 0; i < kLanes; ++i) keys[(d + i) * kPage + args.slot] = lanes[i];
    KvElement<type>::store16(values + d, load(args.v + d));
  }
}

}  // namespace

void attention(const AttentionKernelArgs& args) {
  HALOD_ASSERT(args.head_dim <= kMaxHeadDim && args.head_dim % kLanes == 0);
  return args.type == KvType::kF16 ? attend_all<KvType::kF16>(args) : attend_all<KvType::kF32>(args);
}

void kv_store(const KvStoreArgs& args) {
  return args.type == KvType::kF16 ? store_token<KvType::kF16>(args) : store_token<KvType::kF32>(args);
}

}  // namespace halod::HALOD_ISA
