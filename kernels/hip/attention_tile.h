// What the kernels of a prompt's attention (prompt_attention.hip) and of decode's (flash_decode.hip) share:
// 16 queries of one KV head against its keys on the matrix unit, with online softmax in f32 (flash
// attention).
//
// Page by page of 32 keys, which the block brings to shared memory once:
//   scores^T = keys q^T      keys are rows of A, queries columns of B
//   out^T   += values^T p^T  columns of values are rows of A, queries columns of B again
// Transposed, so that a lane has one query: its maximum, its total and the correction of its sums are one
// register each, and weights become the next product's operand by exchanging halves with lane ^ 16.
//
// Bits. A result must be the same whether its row came alone or among others, so it depends on the row's
// query, its keys and the window alone. Keys are cut into splits by their own position (key_split() of
// args.h); a split is summed from nothing, page by page, and splits are merged one after the other in their
// order, by merge_maxima() and merged() wherever that happens, a sink as the last of them. A page or a split
// whose keys are all masked leaves everything as it is, so that those before the window may be skipped. What
// a column of a product does not depend on: which queries are its neighbours.
#pragma once

#include "kernels/hip/args.h"
#include "kernels/hip/attention_args.h"
#include "kernels/hip/dialect/gpu.h"
#include "kernels/hip/weight_layout.h"

namespace halod::hip {

/// What two parts of a softmax's sums are multiplied by when they become one.
struct MergeFactors {
  float old, split;
};
HALOD_DEVICE MergeFactors merge_maxima(float& maximum, float of_split) {
  const float largest = gpu::max(maximum, of_split);
  // Neither may have seen a key: the window begins later.
  const float base = largest == -gpu::infinity() ? 0.0F : largest;
  const MergeFactors factors = {gpu::exp(maximum - base), gpu::exp(of_split - base)};
  maximum = largest;
  return factors;
}
HALOD_DEVICE float merged(const MergeFactors& factors, float old, float split) {
  return gpu::fma(split, factors.split, old * factors.old);
}

/// Of 16 queries: a lane's is lane % 16.
template <int n_steps>
struct AttentionSums {
  float maximum = -gpu::infinity();
  float total = 0.0F;                          ///< of this lane's keys, every second
  gpu::FloatAccumulator values[n_steps] = {};  ///< 16 columns of the values each

  /// One more logit in the softmax, without a value, after all splits.
  HALOD_DEVICE void add_sink(float sink) {
    const MergeFactors factors = merge_maxima(maximum, sink);
    total = merged(factors, total, gpu::lane() < kFragment ? 1.0F : 0.0F);
#pragma unroll
    for (int d = 0; d < n_steps; ++d) {
#pragma unroll
      for (int i = 0; i < 8; ++i) values[d].values[i] = merged(factors, values[d].values[i], 0.0F);
    }
  }

  HALOD_DEVICE void merge(const AttentionSums& split) {
    const MergeFactors factors = merge_maxima(maximum, split.maximum);
    total = merged(factors, total, split.total);
#pragma unroll
    for (int d = 0; d < n_steps; ++d) {
#pragma unroll
      for (int i = 0; i < 8; ++i)
        values[d].values[i] = merged(factors, values[d].values[i], split.values[d].values[i]);
    }
  }
};

HALOD_DEVICE gpu::HalfFragment half_fragment(const unsigned char* low, const unsigned char* high) {
  gpu::HalfFragment fragment;
  const auto a = *reinterpret_cast<const gpu::Piece*>(low), b = *reinterpret_cast<const gpu::Piece*>(high);
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    fragment.values[i] = static_cast<uint16_t>(a.words[i / 2] >> (i % 2 * 16));
    fragment.values[8 + i] = static_cast<uint16_t>(b.words[i / 2] >> (i % 2 * 16));
  }
  return fragment;
}

/// A thread's share in bringing a page to shared memory: keys as they lie in the page, values as
/// [octet of keys][head_dim][8 keys].
template <int dim, int n_threads>
class PageLoader {
 public:
  /// Keys from n_valid on may be anything in the page; their values become zero, because nothing times NaN is
  /// not nothing.
  HALOD_DEVICE void load(const unsigned char* page, int n_valid) {
#pragma unroll
    for (int i = 0; i < kKeyPieces; ++i)
      keys_[i] = gpu::load_piece(page + (i * n_threads + gpu::thread()) * kPieceBytes);
    const unsigned char* values = page + kPageTokens * dim * 2;
#pragma unroll
    for (int i = 0; i < kValuePieces; ++i) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const int key = first_key(i) + j;
        values_[i][j] = {};
        if (has_values(i) && key < n_valid)
          values_[i][j] = gpu::load_piece(values + (key * dim + first_column(i)) * 2);
      }
    }
  }
  HALOD_DEVICE void store(unsigned char* keys, unsigned char* values) const {
#pragma unroll
    for (int i = 0; i < kKeyPieces; ++i)
      *reinterpret_cast<gpu::Piece*>(keys + (i * n_threads + gpu::thread()) * kPieceBytes) = keys_[i];
#pragma unroll
    for (int i = 0; i < kValuePieces; ++i) {
      if (!has_values(i)) continue;
      unsigned char* to = values + first_key(i) / 8 * prompt_attention_octet_bytes(dim) +
                          first_column(i) * 16 + first_key(i) % 8 * 2;
#pragma unroll
      for (int c = 0; c < 8; ++c) {
        const int shift = c % 2 * 16;
        const uint32_t low = (values_[i][0].words[c / 2] >> shift) & 0xffffU;
        const uint32_t high = (values_[i][1].words[c / 2] >> shift) & 0xffffU;
        *reinterpret_cast<uint32_t*>(to + c * 16) = low | high << 16;
      }
    }
  }

 private:
  static constexpr int kKeyPieces = kPageTokens * dim * 2 / kPieceBytes / n_threads;
  /// A pair of neighbouring keys and eight columns each. A wave takes all 16 pairs: its stores then fall
  /// into different banks (by twos).
  static constexpr int kPairs = kPageTokens / 2, kValueTasks = kPairs * dim / 8;
  static constexpr int kValuePieces = (kValueTasks + n_threads - 1) / n_threads;
  static_assert(kKeyPieces >= 1);
  HALOD_DEVICE static int task(int i) { return i * n_threads + gpu::thread(); }
  HALOD_DEVICE static bool has_values(int i) { return task(i) < kValueTasks; }
  HALOD_DEVICE static int first_key(int i) { return task(i) % kPairs * 2; }
  HALOD_DEVICE static int first_column(int i) { return task(i) / kPairs * 8; }

  gpu::Piece keys_[kKeyPieces];
  gpu::Piece values_[kValuePieces][2];
};

/// 16 columns of a lane's query, rounded to f16.
HALOD_DEVICE gpu::HalfFragment query_fragment(const float* q) {
  gpu::HalfFragment fragment;
#pragma unroll
  for (int i = 0; i < kFragment; i += 4) {
    float four[4];
    gpu::load_floats4(q + i, four);
#pragma unroll
    for (int j = 0; j < 4; ++j) fragment.values[i + j] = gpu::float_to_half(four[j]);
  }
  return fragment;
}

/// 16 keys' weights of a lane's query from the accumulator's order, in which lanes l and l ^ 16 have every
/// second key.
HALOD_DEVICE gpu::HalfFragment weight_fragment(const float (&weights)[8]) {
  gpu::HalfFragment fragment;
  const bool is_even = gpu::lane() < kFragment;
#pragma unroll
  for (int i = 0; i < 8; i += 2) {
    const uint32_t mine =
        gpu::float_to_half(weights[i]) | static_cast<uint32_t>(gpu::float_to_half(weights[i + 1])) << 16;
    const uint32_t other = gpu::shfl_xor(mine, kFragment);
    const uint32_t even = is_even ? mine : other, odd = is_even ? other : mine;
    fragment.values[2 * i] = static_cast<uint16_t>(even);
    fragment.values[2 * i + 1] = static_cast<uint16_t>(odd);
    fragment.values[2 * i + 2] = static_cast<uint16_t>(even >> 16);
    fragment.values[2 * i + 3] = static_cast<uint16_t>(odd >> 16);
  }
  return fragment;
}

/// 16 queries, a lane's is lane % 16, and n_steps * 16 columns of the values.
template <int dim, int n_steps, bool keeps_query>
class QueryTile {
 public:
  /// first_column: of the values.
  HALOD_DEVICE QueryTile(const float* q, int position, float scale, int window, int first_column)
      : q_(q), position_(position), scale_(scale), window_(window), first_column_(first_column) {
    if constexpr (keeps_query) {
#pragma unroll
      for (int k = 0; k < kQuerySteps; ++k) query_[k] = query_fragment(q + k * kFragment);
    }
  }

  HALOD_DEVICE void add_page(int first_key, const unsigned char* keys, const unsigned char* values,
                             AttentionSums<n_steps>& sums) const {
    gpu::FloatAccumulator scores[2] = {};
#pragma unroll
    for (int k = 0; k < kQuerySteps; ++k) {
      const gpu::HalfFragment query = keeps_query ? query_[k % kKept] : query_fragment(q_ + k * kFragment);
#pragma unroll
      for (int f = 0; f < 2; ++f) {
        const unsigned char* key = keys + (f * kFragment + gpu::lane() % kFragment) * kPieceBytes;
        const gpu::HalfFragment of_keys = half_fragment(key + 2 * k * kPageTokens * kPieceBytes,
                                                        key + (2 * k + 1) * kPageTokens * kPieceBytes);
        scores[f] = gpu::wmma_f16(of_keys, query, scores[f]);
      }
      // Else all fragments of the page are loaded at once, and there are not registers for them.
      gpu::schedule_barrier();
    }
    float weights[2][8];
    const float correction = to_weights(first_key, scores, weights, sums);
    const gpu::HalfFragment of_weights[2] = {weight_fragment(weights[0]), weight_fragment(weights[1])};
#pragma unroll
    for (int d = 0; d < n_steps; ++d) {
#pragma unroll
      for (int i = 0; i < 8; ++i) sums.values[d].values[i] *= correction;
#pragma unroll
      for (int f = 0; f < 2; ++f) {
        const unsigned char* column = values + 2 * f * prompt_attention_octet_bytes(dim) +
                                      (first_column_ + d * kFragment + gpu::lane() % kFragment) * kPieceBytes;
        sums.values[d] = gpu::wmma_f16(half_fragment(column, column + prompt_attention_octet_bytes(dim)),
                                       of_weights[f], sums.values[d]);
      }
      gpu::schedule_barrier();
    }
  }

 private:
  static constexpr int kQuerySteps = dim / kFragment, kKept = keeps_query ? kQuerySteps : 1;

  /// Scores become weights relative to the new maximum; returns what all that is older must be multiplied by.
  HALOD_DEVICE float to_weights(int first_key, const gpu::FloatAccumulator (&scores)[2],
                                float (&weights)[2][8], AttentionSums<n_steps>& sums) const {
    float largest = sums.maximum;
#pragma unroll
    for (int f = 0; f < 2; ++f) {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const int key = first_key + f * kFragment + 2 * i + gpu::lane() / kFragment;
        const bool is_seen = key <= position_ && (window_ == 0 || key > position_ - window_);
        weights[f][i] = is_seen ? scores[f].values[i] * scale_ : -gpu::infinity();
        largest = gpu::max(largest, weights[f][i]);
      }
    }
    largest = gpu::max(largest, gpu::shfl_xor(largest, kFragment));
    // A row may have seen no key yet: the window begins in a later page.
    const float base = largest == -gpu::infinity() ? 0.0F : largest;
    const float correction = gpu::exp(sums.maximum - base);
    sums.maximum = largest;
    sums.total *= correction;
#pragma unroll
    for (int f = 0; f < 2; ++f) {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        weights[f][i] = gpu::exp(weights[f][i] - base);
        sums.total += weights[f][i];
      }
    }
    return correction;
  }

  const float* q_;
  int position_;
  float scale_;
  int window_;
  int first_column_;
  gpu::HalfFragment query_[kKept];
};

}  // namespace halod::hip
