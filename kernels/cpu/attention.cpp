// Attention of a few query positions over paged keys and values; see kernels/ops/attention.h for the page
// layout.
//
// All query heads that share a KV head go together, and where they are few those of the next positions too:
// each key and value is loaded and widened once for up to eight such queries, and as many sums run side by
// side (one alone would wait for itself at every step). A query's operations are the same in any company. Per
// page of 32 keys: scores by broadcast-multiply over the transposed keys (no horizontal sums), the online
// softmax update, then the weighted values. A lone query reads every page from memory, and pages of one head
// lie apart, where hardware prefetchers lose them: it asks for the next page meanwhile.
#include <algorithm>

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

/// One head of one position.
struct Query {
  const float* q;
  float* out;
  int64_t n_keys;
  const float* sink;  ///< nullptr: none

  /// Keys of a page that it sees; the first ones, where there is no window.
  int64_t n_valid(int64_t page) const { return std::clamp(n_keys - page * kPage, int64_t{0}, kPage); }
};

/// The running softmax of n queries: exact after every page.
template <int n_queries>
struct RunningSoftmax {
  float scores[n_queries][kPage];
  float max[n_queries];
  float sum[n_queries];
  float out[n_queries][kMaxHeadDim];
};

/// Into the second level: a page of keys and values is half of the first.
inline void prefetch(const void* at) { __builtin_prefetch(at, 0, 2); }

/// `ahead`: keys to ask for meanwhile; nullptr = none.
template <KvType type, int n_queries>
void score_page(const AttentionKernelArgs& args, const Query* queries,
                const typename KvElement<type>::Type* keys, const typename KvElement<type>::Type* ahead,
                RunningSoftmax<n_queries>& state) {
  F32x16 lo[n_queries], hi[n_queries];
  const float* q[n_queries];
  for (int i = 0; i < n_queries; ++i) {
    lo[i] = hi[i] = zero_f32();
    q[i] = queries[i].q;
  }
  for (int64_t d = 0; d < args.head_dim; ++d) {
    const F32x16 k_lo = KvElement<type>::load16(keys + d * kPage),
                 k_hi = KvElement<type>::load16(keys + d * kPage + kLanes);
    if (ahead) prefetch(ahead + d * kPage);
#pragma GCC unroll 8
    for (int i = 0; i < n_queries; ++i) {
      const F32x16 query = broadcast(q[i][d]);
      lo[i] = fma(query, k_lo, lo[i]);
      hi[i] = fma(query, k_hi, hi[i]);
    }
  }
  const F32x16 scale = broadcast(args.scale);
  for (int i = 0; i < n_queries; ++i) {
    store(state.scores[i], lo[i] * scale);
    store(state.scores[i] + kLanes, hi[i] * scale);
  }
}

/// Turns one query's scores into weights relative to the new maximum; returns what the older sum and output
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

/// `ahead`: values to ask for meanwhile; nullptr = none. Later queries see as many keys or more.
template <KvType type, int n_queries>
void add_values(const AttentionKernelArgs& args, const Query* queries, int64_t page,
                const typename KvElement<type>::Type* values, const typename KvElement<type>::Type* ahead,
                int64_t n_skipped, const float* corrections, RunningSoftmax<n_queries>& state) {
  const int64_t n_common = queries[0].n_valid(page);
  for (int64_t d = 0; d < args.head_dim; d += kLanes) {
    if (ahead) {
      for (int64_t j = 0; j < kPage; j += 2) prefetch(ahead + d * kPage + j * kLanes);
    }
    F32x16 acc[n_queries];
    for (int i = 0; i < n_queries; ++i) acc[i] = load(state.out[i] + d) * broadcast(corrections[i]);
    for (int64_t j = n_skipped; j < n_common; ++j) {
      const F32x16 value = KvElement<type>::load16(values + j * args.head_dim + d);
#pragma GCC unroll 8
      for (int i = 0; i < n_queries; ++i) acc[i] = fma(broadcast(state.scores[i][j]), value, acc[i]);
    }
    for (int i = 0; i < n_queries; ++i) store(state.out[i] + d, acc[i]);
  }
  // A few keys that not all of them see: of the others, not even nothing times a value is added.
  for (int i = 1; i < n_queries; ++i) {
    for (int64_t j = n_common; j < queries[i].n_valid(page); ++j) {
      const F32x16 weight = broadcast(state.scores[i][j]);
      for (int64_t d = 0; d < args.head_dim; d += kLanes) {
        float* out = state.out[i] + d;
        store(out, fma(weight, KvElement<type>::load16(values + j * args.head_dim + d), load(out)));
      }
    }
  }
}

/// Queries in order of their keys; with a window (first_key > 0), all of one position.
template <KvType type, int n_queries>
void attend(const AttentionKernelArgs& args, const Query* queries) {
  using Type = typename KvElement<type>::Type;
  RunningSoftmax<n_queries> state;
  for (int i = 0; i < n_queries; ++i) {
    state.max[i] = queries[i].sink ? *queries[i].sink : -INFINITY;
    state.sum[i] = queries[i].sink ? 1.0F : 0.0F;
    std::memset(state.out[i], 0, static_cast<size_t>(args.head_dim) * sizeof(float));
  }
  const int64_t n_keys = queries[n_queries - 1].n_keys;
  for (int64_t page = args.first_key / kPage; page * kPage < n_keys; ++page) {
    const auto* keys = reinterpret_cast<const Type*>(args.pages[static_cast<size_t>(page)]);
    const bool is_followed = args.reads_from_memory && (page + 1) * kPage < n_keys;
    const auto* ahead =
        is_followed ? reinterpret_cast<const Type*>(args.pages[static_cast<size_t>(page) + 1]) : nullptr;
    const int64_t n_hidden = args.first_key - page * kPage, n_skipped = n_hidden > 0 ? n_hidden : 0;
    score_page<type, n_queries>(args, queries, keys, ahead, state);
    float corrections[n_queries];
    for (int i = 0; i < n_queries; ++i) {
      const int64_t n_valid = queries[i].n_valid(page);
      corrections[i] = n_valid > 0
                           ? update_softmax(state.scores[i], n_skipped, n_valid, state.max[i], state.sum[i])
                           : 1.0F;
    }
    const int64_t values_at = args.head_dim * kPage;
    add_values<type, n_queries>(args, queries, page, keys + values_at, ahead ? ahead + values_at : nullptr,
                                n_skipped, corrections, state);
  }
  for (int i = 0; i < n_queries; ++i) {
    const F32x16 inverse = broadcast(1.0F / state.sum[i]);
    float* out = queries[i].out;
    for (int64_t d = 0; d < args.head_dim; d += kLanes) store(out + d, load(state.out[i] + d) * inverse);
  }
}

template <KvType type>
void attend_all(const AttentionKernelArgs& args) {
  Query queries[kMaxQueryGroup];
  const int64_t n = args.n_tokens * args.n_heads;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t token = i / args.n_heads, head = i % args.n_heads;
    queries[i] = {args.q + token * args.q_stride + head * args.head_dim,
                  args.out + token * args.out_stride + head * args.head_dim, args.n_keys + token,
                  args.sinks ? args.sinks + head : nullptr};
  }
  int64_t first = 0;
#if defined(__AVX512VNNI__)
  // Sixteen accumulators; with AVX2's sixteen registers two queries are what fits.
  for (; first + 8 <= n; first += 8) attend<type, 8>(args, queries + first);
  for (; first + 4 <= n; first += 4) attend<type, 4>(args, queries + first);
#endif
  for (; first + 2 <= n; first += 2) attend<type, 2>(args, queries + first);
  for (; first < n; ++first) attend<type, 1>(args, queries + first);
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
  HALOD_ASSERT(args.n_tokens * args.n_heads <= kMaxQueryGroup && (args.n_tokens == 1 || args.first_key == 0));
  return args.type == KvType::kF16 ? attend_all<KvType::kF16>(args) : attend_all<KvType::kF32>(args);
}

void kv_store(const KvStoreArgs& args) {
  return args.type == KvType::kF16 ? store_token<KvType::kF16>(args) : store_token<KvType::kF32>(args);
}

}  // namespace halod::HALOD_ISA
