// Causal attention of a prompt's rows on the matrix unit, with online softmax in f32 (flash attention).
//
// A block takes neighbouring rows of one sequence and up to eight query heads that share a KV head; each of
// its eight waves 16 rows of one head. Page by page of 32 keys, which the block brings to shared memory once:
//   scores^T = keys q^T      keys are rows of A, queries columns of B
//   out^T   += values^T p^T  columns of values are rows of A, queries columns of B again
// Transposed, so that a lane has one query: its maximum, its total and the correction of its sums are one
// register each, and weights become the next product's operand by exchanging halves with lane ^ 16.
//
// Bits depend on a row's query, its keys and the window alone: pages are cut at multiples of 32 keys, and one
// whose keys are all masked leaves maximum, total and sums as they are. They are not those of the decode
// kernels: queries and weights are rounded to f16 here. So the backend does not take it yet: a row's bits
// would say whether it came in a prompt.
//
// Per page, head_dim 128 and wave: 2 * 2 * 16 * 32 * 128 = 262,144 operations by 32 wmma of 32 cycles: 1024,
// and, as compiled, 302 instructions of the vector unit (softmax, correcting 64 sums): 77 % of the matrix
// unit's rate at best. The page's 16 kB come from memory once per block, 8 waves x 262,144
// operations: 128 per byte, where the machine needs 275 (59.4 T / 216 G), so a page's blocks must share the
// caches, which neighbours in the grid do (tiles of the same pages).
// Shared memory: an A fragment of 32 bytes a lane per wmma, two lanes read the same: 8 cycles at 128 bytes
// per cycle and CU, of two SIMDs with a wmma of 32 cycles each: 16 of 32. It allows the matrix unit's whole
// rate, at half of its own. 16.5 kB per block (33 kB for 256); at 199 registers three blocks fit a WGP, six
// waves a SIMD.
#include "kernels/hip/activations.h"
#include "kernels/hip/args.h"
#include "kernels/hip/dialect/gpu.h"
#include "kernels/hip/dot.h"
#include "kernels/hip/normalise.h"

namespace halod::hip {

inline constexpr int kPromptAttentionThreads = kAttentionWaves * gpu::kWave;
/// Floats from one query's results to the next: one more than there are, so that a wave's lanes write to
/// different banks.
inline constexpr int kResultPitch = kGroupColumns + 1;

template <int dim>
constexpr int octet_bytes() {
  return prompt_attention_octet_bytes(dim);
}

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
template <int dim>
class PageLoader {
 public:
  /// Keys from n_valid on may be anything in the page; their values become zero, because nothing times NaN is
  /// not nothing.
  HALOD_DEVICE void load(const unsigned char* page, int n_valid) {
#pragma unroll
    for (int i = 0; i < kKeyPieces; ++i)
      keys_[i] = gpu::load_piece(page + (i * kPromptAttentionThreads + gpu::thread()) * kPieceBytes);
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
      *reinterpret_cast<gpu::Piece*>(keys + (i * kPromptAttentionThreads + gpu::thread()) * kPieceBytes) =
          keys_[i];
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
  static constexpr int kKeyPieces = kPageTokens * dim * 2 / kPieceBytes / kPromptAttentionThreads;
  /// A pair of neighbouring keys and eight columns each. A wave takes all 16 pairs: its stores then fall
  /// into different banks (by twos).
  static constexpr int kPairs = kPageTokens / 2, kValueTasks = kPairs * dim / 8;
  static constexpr int kValuePieces = (kValueTasks + kPromptAttentionThreads - 1) / kPromptAttentionThreads;
  static_assert(kKeyPieces >= 1);
  HALOD_DEVICE static int task(int i) { return i * kPromptAttentionThreads + gpu::thread(); }
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

/// The rows of one wave: 16 queries, a lane's is lane % 16.
template <int dim>
class QueryTile {
 public:
  HALOD_DEVICE QueryTile(const float* q, int position, float scale, int window)
      : q_(q), position_(position), scale_(scale), window_(window) {
    if constexpr (kKeepsQuery) {
#pragma unroll
      for (int k = 0; k < kSteps; ++k) query_[k] = query_fragment(q + k * kFragment);
    }
  }

  HALOD_DEVICE void add_page(int first_key, const unsigned char* keys, const unsigned char* values) {
    gpu::FloatAccumulator scores[2] = {};
#pragma unroll
    for (int k = 0; k < kSteps; ++k) {
      const gpu::HalfFragment query = kKeepsQuery ? query_[k % kKept] : query_fragment(q_ + k * kFragment);
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
    const float correction = to_weights(first_key, scores, weights);
    const gpu::HalfFragment of_weights[2] = {weight_fragment(weights[0]), weight_fragment(weights[1])};
#pragma unroll
    for (int d = 0; d < kSteps; ++d) {
#pragma unroll
      for (int i = 0; i < 8; ++i) sums_[d].values[i] *= correction;
#pragma unroll
      for (int f = 0; f < 2; ++f) {
        const unsigned char* column = values + 2 * f * prompt_attention_octet_bytes(dim) +
                                      (d * kFragment + gpu::lane() % kFragment) * kPieceBytes;
        sums_[d] = gpu::wmma_f16(half_fragment(column, column + prompt_attention_octet_bytes(dim)),
                                 of_weights[f], sums_[d]);
      }
      gpu::schedule_barrier();
    }
  }

  /// The wave's rows to their place, 32 columns at a time through the wave's part of shared memory.
  HALOD_DEVICE void write(const ActivationResult& out, int first_row, int n_rows, int row_columns,
                          int first_column, float* results) const {
    const float inverse = 1.0F / (total_ + gpu::shfl_xor(total_, kFragment));
#pragma unroll
    for (int group = 0; group < dim / kGroupColumns; ++group) {
#pragma unroll
      for (int d = 0; d < 2; ++d) {
#pragma unroll
        for (int i = 0; i < 8; ++i) {
          results[gpu::lane() % kFragment * kResultPitch + d * kFragment + 2 * i + gpu::lane() / kFragment] =
              sums_[2 * group + d].values[i] * inverse;
        }
      }
      gpu::sync_wave();  // all lanes' columns, before the wave takes them row by row
      for (int row = 0; row < n_rows; ++row) {
        const float value = results[row * kResultPitch + gpu::lane()];
        const size_t at = static_cast<size_t>(first_row + row) * static_cast<size_t>(row_columns) +
                          static_cast<size_t>(first_column + group * kGroupColumns);
        out.values[at + static_cast<size_t>(gpu::lane())] = value;
        if (out.codes) quantise_group(value, out.codes + at, out.groups + at / kGroupColumns);
      }
      gpu::sync_wave();  // all lanes have read them, before the next columns overwrite them
    }
  }

 private:
  static constexpr int kSteps = dim / kFragment;
  /// Queries of 256 columns would take all registers: they are read again for every page.
  static constexpr bool kKeepsQuery = dim <= 128;
  static constexpr int kKept = kKeepsQuery ? kSteps : 1;

  /// Scores become weights relative to the new maximum; returns what all that is older must be multiplied by.
  HALOD_DEVICE float to_weights(int first_key, const gpu::FloatAccumulator (&scores)[2],
                                float (&weights)[2][8]) {
    float largest = maximum_;
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
    const float correction = gpu::exp(maximum_ - base);
    maximum_ = largest;
    total_ *= correction;
#pragma unroll
    for (int f = 0; f < 2; ++f) {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        weights[f][i] = gpu::exp(weights[f][i] - base);
        total_ += weights[f][i];
      }
    }
    return correction;
  }

  const float* q_;
  int position_;
  float scale_;
  int window_;
  gpu::HalfFragment query_[kKept];
  float maximum_ = -gpu::infinity();
  float total_ = 0.0F;  ///< of this lane's keys
  gpu::FloatAccumulator sums_[kSteps] = {};
};

template <int dim>
HALOD_DEVICE void prompt_attention(const PromptAttentionArgs& args) {
  const AttentionTile tile = args.tiles[gpu::block_x()];
  const int group = args.n_heads / args.n_kv_heads;
  const int chunks_per_group = (group + args.heads_at_once - 1) / args.heads_at_once;
  const int kv_head = gpu::block_y() / chunks_per_group;
  const int in_group =
      gpu::block_y() % chunks_per_group * args.heads_at_once + gpu::wave() % args.heads_at_once;
  const bool has_head = in_group < group;  // a wave without one repeats the last and writes nothing
  const int head = kv_head * group + (has_head ? in_group : group - 1);
  const int first_in_tile = gpu::wave() / args.heads_at_once * kFragment, left = tile.n_rows - first_in_tile;
  const int n_rows = !has_head || left < 0 ? 0 : (left < kFragment ? left : kFragment);

  const StepRow place = args.rows[tile.first_row];
  const int wanted = first_in_tile + gpu::lane() % kFragment;
  const int in_tile = wanted < tile.n_rows ? wanted : tile.n_rows - 1;
  const int row_columns = args.n_heads * dim;
  QueryTile<dim> queries(
      args.q + static_cast<size_t>(tile.first_row + in_tile) * static_cast<size_t>(row_columns) +
          static_cast<size_t>(head) * dim,
      place.position + in_tile, args.scale, args.window);

  unsigned char* keys = gpu::shared_memory();
  unsigned char* values = keys + kPageTokens * dim * 2;
  gpu::check_shared_memory(values + kPageTokens / 8 * prompt_attention_octet_bytes(dim));
  const int last_key = place.position + tile.n_rows - 1, last_page = last_key / kPageTokens;
  const int first_seen = args.window == 0 ? 0 : place.position - args.window + 1;
  const int last_of_wave = place.position + first_in_tile + n_rows - 1;
  PageLoader<dim> loader;
  const auto load = [&](int page) {
    const size_t head_page =
        static_cast<size_t>(args.pages[place.first_page + page]) * static_cast<size_t>(args.n_kv_heads) +
        static_cast<size_t>(kv_head);
    loader.load(args.kv + head_page * static_cast<size_t>(kv_head_page_bytes(dim)),
                last_key + 1 - page * kPageTokens);
  };
  int page = first_seen > 0 ? first_seen / kPageTokens : 0;
  load(page);
#pragma unroll 1
  for (; page <= last_page; ++page) {
    gpu::sync_shared();  // all waves have read the page before, which this one overwrites
    loader.store(keys, values);
    gpu::sync_shared();  // the whole page, before any wave reads it
    if (page < last_page) load(page + 1);
    if (n_rows > 0 && page * kPageTokens <= last_of_wave) queries.add_page(page * kPageTokens, keys, values);
  }
  gpu::sync_shared();  // all waves have read the last page, before results take its place
  queries.write(args.out, tile.first_row + first_in_tile, n_rows, row_columns, head * dim,
                reinterpret_cast<float*>(gpu::shared_memory()) + gpu::wave() * kFragment * kResultPitch);
}

HALOD_KERNEL(prompt_attention_64, PromptAttentionArgs, 256) { prompt_attention<64>(args); }
HALOD_KERNEL(prompt_attention_128, PromptAttentionArgs, 256) { prompt_attention<128>(args); }
HALOD_KERNEL(prompt_attention_256, PromptAttentionArgs, 256) { prompt_attention<256>(args); }

}  // namespace halod::hip
