// Attention of decode: flash-decoding, each row's keys cut into splits that different blocks take.
//
// Floor: keys and values are read once per chunk of up to eight query heads, 4 * head_dim bytes a token and
// KV head.
#include "kernels/hip/activations.h"
#include "kernels/hip/args.h"
#include "kernels/hip/attention_args.h"
#include "kernels/hip/dialect/gpu.h"
#include "kernels/hip/dot.h"

namespace halod::hip {

HALOD_DEVICE size_t head_page_bytes(int head_dim) {
  return static_cast<size_t>(kv_head_page_bytes(head_dim));
}

/// A wave per head: biases, RMS norm of q and k where there are weights, rotation of pairs, keys and values
/// into the row's page. A launch of its own, because a row may attend to keys of other rows of the same step.
HALOD_KERNEL(attention_prepare, AttentionPrepareArgs, 128) {
  const int row = gpu::block_y(), head = gpu::block_x() * kPrepareHeads + gpu::wave(), dim = args.head_dim;
  if (head >= args.n_heads + args.n_kv_heads) return;
  const bool is_key = head >= args.n_heads;
  const int kv_head = head - args.n_heads;
  const size_t q_head =
      static_cast<size_t>(row) * static_cast<size_t>(args.n_heads) + static_cast<size_t>(head);
  float* q = args.q + q_head * static_cast<size_t>(dim);
  const size_t kv_offset = (static_cast<size_t>(row) * static_cast<size_t>(args.n_kv_heads) +
                            static_cast<size_t>(is_key ? kv_head : 0)) *
                           static_cast<size_t>(dim);
  const float* x = is_key ? args.k + kv_offset : args.q_from + q_head * static_cast<size_t>(args.q_stride);
  const int in_bias = (is_key ? kv_head : head) * dim;
  const float* bias = is_key ? args.k_bias : args.q_bias;
  const auto biased = [&](int i) { return bias ? x[i] + bias[in_bias + i] : x[i]; };

  const float* norm = is_key ? args.k_norm : args.q_norm;
  float scale = 1.0F;
  if (norm) {
    float squares = 0.0F;
    for (int i = gpu::lane(); i < dim; i += gpu::kWave) {
      const float value = biased(i);
      squares = gpu::fma(value, value, squares);
    }
    scale = 1.0F / gpu::sqrt(gpu::wave_sum(squares) / static_cast<float>(dim) + args.epsilon);
  }
  const auto normalised = [&](int i) { return norm ? biased(i) * scale * norm[i] : biased(i); };
  const StepRow place = args.rows[row];
  const int slot = place.position % kPageTokens;
  const uint32_t page = args.pages[place.first_page + place.position / kPageTokens];
  auto* keys = reinterpret_cast<uint16_t*>(args.kv +
                                           (static_cast<size_t>(page) * static_cast<size_t>(args.n_kv_heads) +
                                            static_cast<size_t>(is_key ? kv_head : 0)) *
                                               head_page_bytes(dim));
  const auto store = [&](int i, float value) {
    if (is_key) {
      keys[(i / 8 * kPageTokens + slot) * 8 + i % 8] = gpu::float_to_half(value);
    } else {
      q[i] = value;
    }
  };
  const float* angles = args.rope + static_cast<size_t>(row) * static_cast<size_t>(args.n_rotated);
  const int n_pairs = args.n_rotated / 2;
  for (int i = gpu::lane(); i < n_pairs; i += gpu::kWave) {
    const int first = args.pairs_neighbours ? 2 * i : i,
              second = first + (args.pairs_neighbours ? 1 : n_pairs);
    const float a = normalised(first), b = normalised(second);
    const float cosine = angles[i], sine = angles[n_pairs + i];
    store(first, gpu::fma(-b, sine, a * cosine));
    store(second, gpu::fma(a, sine, b * cosine));
  }
  for (int i = args.n_rotated + gpu::lane(); i < dim; i += gpu::kWave) store(i, normalised(i));
  if (!is_key) return;
  uint16_t* values = keys + kPageTokens * dim + slot * dim;
  for (int i = gpu::lane(); i < dim; i += gpu::kWave) {
    float value = args.v[kv_offset + static_cast<size_t>(i)];
    if (args.v_bias) value += args.v_bias[in_bias + i];
    values[i] = gpu::float_to_half(value);
  }
}

HALOD_DEVICE void unpack_halves(const gpu::Piece& piece, float (&values)[8]) {
#pragma unroll
  for (int i = 0; i < 8; ++i)
    values[i] = gpu::half_to_float(static_cast<uint16_t>(piece.words[i / 2] >> (i % 2 * 16)));
}

/// The same n floats of shared memory for many lanes, by loads of 16 bytes where they are that many: the
/// address is aligned then.
template <int n>
HALOD_DEVICE void load_shared(const float* p, float (&values)[n]) {
  if constexpr (n % 4 == 0) {
#pragma unroll
    for (int i = 0; i < n; i += 4) {
      const gpu::Piece piece = *reinterpret_cast<const gpu::Piece*>(p + i);
#pragma unroll
      for (int j = 0; j < 4; ++j) values[i + j] = gpu::as_float(piece.words[j]);
    }
  } else {
#pragma unroll
    for (int i = 0; i < n; ++i) values[i] = p[i];
  }
}

/// Up to n_heads query heads that share one KV head.
template <int n_heads>
struct HeadChunk {
  int kv_head;
  int first_head;  ///< of the queries
  int n_used;      ///< heads that exist; the others repeat the last one and are not written

  HALOD_DEVICE HeadChunk(const SplitAttentionArgs& args, int chunk) {
    const int group = args.n_heads / args.n_kv_heads, chunks_per_group = (group + n_heads - 1) / n_heads;
    kv_head = chunk / chunks_per_group;
    const int first_in_group = chunk % chunks_per_group * n_heads;
    first_head = kv_head * group + first_in_group;
    n_used = group - first_in_group < n_heads ? group - first_in_group : n_heads;
  }
};

/// Where a block's parts lie in shared memory; args.h adds up the same sizes.
template <int n_heads>
struct AttentionShared {
  float* q;        ///< [n_heads][head_dim]
  float* sums;     ///< [n_heads][head_dim]: the waves' weighted values, added up
  float* weights;  ///< [wave][32][n_heads]: of one page's keys
  float* maxima;   ///< [wave][n_heads]
  float* totals;   ///< [wave][n_heads]
  float* factors;  ///< [split][n_heads]
  uint32_t* flag;

  HALOD_DEVICE explicit AttentionShared(int head_dim) {
    gpu::SharedArena shared;
    q = shared.take<float>(n_heads * head_dim);
    sums = shared.take<float>(n_heads * head_dim);
    weights = shared.take<float>(kSplitWaves * n_heads * kPageTokens);
    maxima = shared.take<float>(kSplitWaves * n_heads);
    totals = shared.take<float>(kSplitWaves * n_heads);
    factors = shared.take<float>(kMaxSplits * n_heads);
    flag = shared.take<uint32_t>(1);
  }
};

/// One wave's running softmax over its pages. A lane is a key for the scores, and eight columns of every
/// keys_at_once-th key for the values.
template <int n_heads>
struct RunningSoftmax {
  float maxima[n_heads];
  float totals[n_heads];  ///< of this lane's keys
  float values[n_heads][8];

  HALOD_DEVICE RunningSoftmax() {
#pragma unroll
    for (int h = 0; h < n_heads; ++h) {
      maxima[h] = -gpu::infinity();
      totals[h] = 0.0F;
#pragma unroll
      for (int i = 0; i < 8; ++i) values[h][i] = 0.0F;
    }
  }

  /// Of the page's keys those from first_valid to n_valid - 1, one at least.
  HALOD_DEVICE void add_page(const unsigned char* page, int first_valid, int n_valid, int head_dim,
                             float scale, const float* q, float* weights) {
    float scores[n_heads] = {};
    for (int d = 0; d < head_dim; d += 8) {
      float key[8];
      unpack_halves(gpu::load_piece(page + (d * kPageTokens + gpu::lane() * 8) * 2), key);
#pragma unroll
      for (int h = 0; h < n_heads; ++h) {
        float query[8];
        load_shared(q + h * head_dim + d, query);
#pragma unroll
        for (int i = 0; i < 8; ++i) scores[h] = gpu::fma(query[i], key[i], scores[h]);
      }
    }
#pragma unroll
    for (int h = 0; h < n_heads; ++h) {
      const bool is_seen = gpu::lane() >= first_valid && gpu::lane() < n_valid;
      const float score = is_seen ? scores[h] * scale : -gpu::infinity();
      const float largest = gpu::max(maxima[h], gpu::wave_max(score));
      const float weight = gpu::exp(score - largest), correction = gpu::exp(maxima[h] - largest);
      maxima[h] = largest;
      totals[h] = totals[h] * correction + weight;
      weights[gpu::lane() * n_heads + h] = weight;
#pragma unroll
      for (int i = 0; i < 8; ++i) values[h][i] *= correction;
    }
    gpu::sync_wave();  // every lane's weights, before all lanes read them
    const int lanes_per_key = head_dim / 8, keys_at_once = gpu::kWave / lanes_per_key;
    const int column = gpu::lane() % lanes_per_key * 8, first_key = gpu::lane() / lanes_per_key;
    const unsigned char* page_values = page + kPageTokens * head_dim * 2;
    if (first_key < keys_at_once) {
      for (int key = first_key; key < n_valid; key += keys_at_once) {
        if (key < first_valid) continue;
        float of_key[n_heads], value[8];
        load_shared(weights + key * n_heads, of_key);
        unpack_halves(gpu::load_piece(page_values + (key * head_dim + column) * 2), value);
#pragma unroll
        for (int h = 0; h < n_heads; ++h) {
#pragma unroll
          for (int i = 0; i < 8; ++i) values[h][i] = gpu::fma(of_key[h], value[i], values[h][i]);
        }
      }
    }
    gpu::sync_wave();  // all lanes have read them, before the next page's overwrite them
  }

  /// Adds up the lanes that hold the same columns; lanes 0 … head_dim / 8 - 1 then hold the wave's sums.
  HALOD_DEVICE void join_lanes(int head_dim) {
    const int lanes_per_key = head_dim / 8, keys_at_once = gpu::kWave / lanes_per_key;
#pragma unroll
    for (int h = 0; h < n_heads; ++h) {
      totals[h] = gpu::wave_sum(totals[h]);
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const float mine = values[h][i];
        float sum = mine;
        for (int k = 1; k < keys_at_once; ++k)
          sum += gpu::shfl(mine, (gpu::lane() + k * lanes_per_key) % gpu::kWave);
        values[h][i] = sum;
      }
    }
  }
};

/// The four waves' results become the block's: sums in shared memory relative to the largest maximum, which
/// is returned per head in maxima[0 … n_heads) with the total weight in totals[0 … n_heads).
template <int n_heads>
HALOD_DEVICE void join_waves(RunningSoftmax<n_heads>& mine, const AttentionShared<n_heads>& shared,
                             int head_dim) {
  const int wave = gpu::wave(), column = gpu::lane() * 8;
  mine.join_lanes(head_dim);
  if (gpu::lane() == 0) {
#pragma unroll
    for (int h = 0; h < n_heads; ++h) {
      shared.maxima[wave * n_heads + h] = mine.maxima[h];
      shared.totals[wave * n_heads + h] = mine.totals[h];
    }
  }
  gpu::sync();  // all waves' maxima, before each wave scales itself to the largest
  float factors[n_heads], maxima[n_heads], totals[n_heads];
#pragma unroll
  for (int h = 0; h < n_heads; ++h) {
    maxima[h] = shared.maxima[h];
    for (int w = 1; w < kSplitWaves; ++w) maxima[h] = gpu::max(maxima[h], shared.maxima[w * n_heads + h]);
    factors[h] = gpu::exp(mine.maxima[h] - maxima[h]);
    totals[h] = 0.0F;
    for (int w = 0; w < kSplitWaves; ++w)
      totals[h] += shared.totals[w * n_heads + h] * gpu::exp(shared.maxima[w * n_heads + h] - maxima[h]);
  }
  for (int w = 0; w < kSplitWaves; ++w) {
    if (w == wave && column < head_dim) {
#pragma unroll
      for (int h = 0; h < n_heads; ++h) {
#pragma unroll
        for (int i = 0; i < 8; ++i) {
          float* sum = shared.sums + h * head_dim + column + i;
          const float value = mine.values[h][i] * factors[h];
          *sum = w == 0 ? value : *sum + value;
        }
      }
    }
    gpu::sync();  // one wave after the other, so that the order of the sum is one
  }
  if (gpu::thread() == 0) {
#pragma unroll
    for (int h = 0; h < n_heads; ++h) {
      shared.maxima[h] = maxima[h];
      shared.totals[h] = totals[h];
    }
  }
  gpu::sync();  // thread 0's results, before all threads write them out
}

/// All splits' partial results of one head chunk to its output row.
template <int n_heads>
HALOD_DEVICE void combine_splits(const SplitAttentionArgs& args, const AttentionShared<n_heads>& shared,
                                 const float* partials, int splits, int row,
                                 const HeadChunk<n_heads>& chunk) {
  const int dim = args.head_dim, n_sums = n_heads * dim, stride = n_heads * (dim + 2);
  if (gpu::thread() < n_heads) {
    const int h = gpu::thread();
    const int head = chunk.first_head + (h < chunk.n_used ? h : chunk.n_used - 1);
    const float sink = args.sinks ? args.sinks[head] : -gpu::infinity();
    float largest = sink;
    for (int s = 0; s < splits; ++s) largest = gpu::max(largest, partials[s * stride + n_sums + h]);
    float total = gpu::exp(sink - largest);
    for (int s = 0; s < splits; ++s)
      total +=
          partials[s * stride + n_sums + n_heads + h] * gpu::exp(partials[s * stride + n_sums + h] - largest);
    for (int s = 0; s < splits; ++s)
      shared.factors[s * n_heads + h] = gpu::exp(partials[s * stride + n_sums + h] - largest) / total;
  }
  gpu::sync();  // the factors, before all threads use them
  for (int i = gpu::thread(); i < n_sums; i += kSplitWaves * gpu::kWave) {
    float sum = 0.0F;
    for (int s = 0; s < splits; ++s)
      sum = gpu::fma(partials[s * stride + i], shared.factors[s * n_heads + i / dim], sum);
    if (args.gated_q) {
      const int h = i / dim < chunk.n_used ? i / dim : chunk.n_used - 1;
      sum *= sigmoid(args.gated_q[attention_gate(row, args.n_heads, chunk.first_head + h, dim) +
                                  static_cast<size_t>(i % dim)]);
    }
    shared.sums[i] = sum;
  }
  gpu::sync();  // the whole result, before waves take groups of it
  const auto first =
      (static_cast<size_t>(row) * static_cast<size_t>(args.n_heads) + static_cast<size_t>(chunk.first_head)) *
      static_cast<size_t>(dim);
  const int n_out = chunk.n_used * dim;
  for (int i = gpu::thread(); i < n_out; i += kSplitWaves * gpu::kWave)
    args.out.values[first + static_cast<size_t>(i)] = shared.sums[i];
  if (!args.out.codes) return;
  for (int group = gpu::wave(); group < n_out / kGroupColumns; group += kSplitWaves) {
    quantise_group(shared.sums[group * kGroupColumns + gpu::lane()],
                   args.out.codes + first + group * kGroupColumns,
                   args.out.groups + first / kGroupColumns + group);
  }
}

template <int n_heads>
HALOD_DEVICE void attention(const SplitAttentionArgs& args) {
  const int split = gpu::block_x(), row = gpu::block_y() / args.n_chunks, dim = args.head_dim;
  const HeadChunk<n_heads> chunk(args, gpu::block_y() % args.n_chunks);
  const StepRow place = args.rows[row];
  const int n_keys = place.position + 1, first_seen = first_seen_key(place.position, args.window);
  const int first_page = first_seen / kPageTokens, end_page = (n_keys + kPageTokens - 1) / kPageTokens;
  const int splits = splits_of_pages(end_page - first_page);
  if (split >= splits) return;
  const AttentionShared<n_heads> shared(dim);

  for (int i = gpu::thread(); i < n_heads * dim; i += kSplitWaves * gpu::kWave) {
    const int used = i / dim < chunk.n_used ? i / dim : chunk.n_used - 1;
    shared.q[i] = args.q[(static_cast<size_t>(row) * static_cast<size_t>(args.n_heads) +
                          static_cast<size_t>(chunk.first_head + used)) *
                             static_cast<size_t>(dim) +
                         static_cast<size_t>(i % dim)];
  }
  gpu::sync();  // all queries, before any wave scores with them

  const int per_split = pages_per_split(end_page - first_page), begin = first_page + split * per_split;
  const int end = begin + per_split < end_page ? begin + per_split : end_page;
  RunningSoftmax<n_heads> softmax;
  for (int page = begin + gpu::wave(); page < end; page += kSplitWaves) {
    const uint32_t page_id = args.pages[place.first_page + page];
    const int left = n_keys - page * kPageTokens, before = first_seen - page * kPageTokens;
    softmax.add_page(args.kv + (static_cast<size_t>(page_id) * static_cast<size_t>(args.n_kv_heads) +
                                static_cast<size_t>(chunk.kv_head)) *
                                   head_page_bytes(dim),
                     before, left < kPageTokens ? left : kPageTokens, dim, args.scale, shared.q,
                     shared.weights + gpu::wave() * n_heads * kPageTokens);
  }
  join_waves(softmax, shared, dim);

  const int n_sums = n_heads * dim;
  float* partials = args.partials + static_cast<size_t>(gpu::block_y()) * kMaxSplits *
                                        static_cast<size_t>(partial_floats(n_heads, dim));
  float* partial = partials + static_cast<size_t>(split) * static_cast<size_t>(partial_floats(n_heads, dim));
  for (int i = gpu::thread(); i < n_sums; i += kSplitWaves * gpu::kWave) partial[i] = shared.sums[i];
  if (gpu::thread() < n_heads) {
    partial[n_sums + gpu::thread()] = shared.maxima[gpu::thread()];
    partial[n_sums + n_heads + gpu::thread()] = shared.totals[gpu::thread()];
  }
  if (!gpu::arrive_last(args.counters + gpu::block_y(), static_cast<uint32_t>(splits), shared.flag)) return;
  combine_splits(args, shared, partials, splits, row, chunk);
}

HALOD_KERNEL(attention_1, SplitAttentionArgs, 128) { attention<1>(args); }
HALOD_KERNEL(attention_2, SplitAttentionArgs, 128) { attention<2>(args); }
HALOD_KERNEL(attention_4, SplitAttentionArgs, 128) { attention<4>(args); }
HALOD_KERNEL(attention_8, SplitAttentionArgs, 128) { attention<8>(args); }

}  // namespace halod::hip
