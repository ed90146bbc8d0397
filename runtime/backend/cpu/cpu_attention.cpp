// Attention over the paged KV cache on the CPU.
#include <algorithm>

#include "runtime/backend/cpu/cpu_backend.h"

namespace halod {
namespace {

static_assert(kKvPageTokens == kAttentionPageTokens);

/// All layers' pages in one allocation: [layer][page][kv head][keys, values].
class CpuKvStorage final : public KvStorage {
 public:
  CpuKvStorage(MappedMemory memory, const KvShape& shape, int64_t n_pages, KvType type)
      : memory_(std::move(memory)),
        n_kv_heads_(shape.n_kv_heads),
        n_pages_(n_pages),
        head_bytes_(kv_head_page_bytes(type, shape.head_dim)) {}
  uint64_t bytes() const override { return memory_.size(); }
  std::byte* page(int64_t layer_idx, PageId page_id, int64_t kv_head) const {
    return memory_.data() + ((layer_idx * n_pages_ + to_int(page_id)) * n_kv_heads_ + kv_head) * head_bytes_;
  }

 private:
  MappedMemory memory_;
  int64_t n_kv_heads_, n_pages_, head_bytes_;
};

}  // namespace

uint64_t CpuBackend::kv_page_bytes(const KvShape& shape) const {
  return static_cast<uint64_t>(shape.n_layers * shape.n_kv_heads *
                               kv_head_page_bytes(kv_type_, shape.head_dim));
}

Result<std::unique_ptr<KvStorage>> CpuBackend::allocate_kv(const KvShape& shape, int64_t n_pages) {
  auto memory = MappedMemory::allocate(kv_page_bytes(shape) * static_cast<uint64_t>(n_pages));
  if (!memory) return memory.error();
  return std::unique_ptr<KvStorage>(
      std::make_unique<CpuKvStorage>(std::move(*memory), shape, n_pages, kv_type_));
}

void CpuBackend::normalise_rotate_store(const AttentionArgs& args, KvStorage& kv) {
  const auto& storage = static_cast<const CpuKvStorage&>(kv);
  const int64_t head_dim = args.head_dim;
  const auto add_bias = [&](const PlacedVector* bias, MatrixView<float> x, int64_t row) {
    if (bias) add(cpu_vector(*bias).values().data(), x.row_data(row), x.cols);
  };
  const auto normalise_rotate = [&](float* head, const PlacedVector* norm, int64_t row) {
    if (norm) {
      const float* weights = cpu_vector(*norm).values().data();
      kernels_.rms_norm({head, weights, head, head_dim, args.norm_epsilon});
    }
    const float* angles = step_.rope.row_data(row);
    const int64_t n = step_.rope.cols;
    kernels_.rope({head, angles, angles + n / 2, n, args.rope_pairing == RopePairing::kNeighbours});
  };
  const std::vector<RowPlace>& places = step_.places;
  threads_.parallel_for(static_cast<int64_t>(places.size()), 8, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) {
      const auto [sequence, position] = places[static_cast<size_t>(row)];
      const PageId page = sequence->pages[static_cast<size_t>(position / kKvPageTokens)];
      add_bias(args.q_bias, args.q, row);
      add_bias(args.k_bias, args.k, row);
      add_bias(args.v_bias, args.v, row);
      for (int64_t h = 0; h < args.n_heads; ++h) {
        normalise_rotate(args.q.row_data(row) + h * head_dim, args.q_norm, row);
      }
      for (int64_t h = 0; h < args.n_kv_heads; ++h) {
        float* k = args.k.row_data(row) + h * head_dim;
        normalise_rotate(k, args.k_norm, row);
        kernels_.kv_store({k, args.v.row_data(row) + h * head_dim, storage.page(args.layer_idx, page, h),
                           position % kKvPageTokens, head_dim, kv_type_});
      }
    }
  });
}

std::vector<CpuBackend::RowRun> CpuBackend::neighbouring_rows(const std::vector<RowPlace>& places,
                                                              int64_t most) {
  std::vector<RowRun> runs;
  for (size_t row = 0; row < places.size(); ++row) {
    const bool follows = row > 0 && places[row].sequence == places[row - 1].sequence &&
                         places[row].position == places[row - 1].position + 1;
    if (follows && runs.back().n_rows < most) {
      ++runs.back().n_rows;
    } else {
      runs.push_back({static_cast<int64_t>(row), 1});
    }
  }
  return runs;
}

void CpuBackend::attention(const AttentionArgs& args, KvStorage& kv) {
  if (args.gated_q.data) split_heads(args.gated_q, args.n_heads, args.q, args.gate);
  normalise_rotate_store(args, kv);
  const auto& storage = static_cast<const CpuKvStorage&>(kv);
  const std::vector<RowPlace>& places = step_.places;
  const int64_t group = args.n_heads / args.n_kv_heads;
  const float* sinks = args.sinks ? cpu_vector(*args.sinks).values().data() : nullptr;
  int64_t n_keys = 0;
  const auto first_key = [&](int64_t position) {
    return args.window > 0 ? std::max<int64_t>(0, position + 1 - args.window) : 0;
  };
  for (const RowPlace& place : places) n_keys += place.position + 1 - first_key(place.position);
  const int64_t rows_at_once = args.window > 0 ? 1 : kMaxQueryGroup / std::min(kMaxQueryGroup, group);
  const std::vector<RowRun> runs = neighbouring_rows(places, rows_at_once);
  const auto n_runs = static_cast<int64_t>(runs.size());
  // Heads outermost: neighbouring tasks share one head's keys and values, which then stay in the cache.
  const int64_t chunk = std::clamp<int64_t>(n_runs / 4, 1, 16);
  parallel_for(args.n_kv_heads * n_runs, chunk, 2 * n_keys * args.n_heads * args.head_dim,
               [&](int64_t begin, int64_t end, int) {
                 std::vector<const std::byte*> pages;
                 std::pair<int64_t, const AttentionSequence*> owner_of_pages;
                 for (int64_t task = begin; task < end; ++task) {
                   const int64_t kv_head = task / n_runs;
                   const RowRun& run = runs[static_cast<size_t>(task % n_runs)];
                   const auto [sequence, position] = places[static_cast<size_t>(run.first_row)];
                   if (owner_of_pages != std::pair(kv_head, sequence)) {
                     owner_of_pages = {kv_head, sequence};
                     pages.clear();
                     for (PageId page : sequence->pages)
                       pages.push_back(storage.page(args.layer_idx, page, kv_head));
                   }
                   for (int64_t h = 0; h < group; h += kMaxQueryGroup) {
                     const int64_t offset = (kv_head * group + h) * args.head_dim;
                     kernels_.attention({.q = args.q.row_data(run.first_row) + offset,
                                         .out = args.out.row_data(run.first_row) + offset,
                                         .n_heads = std::min(kMaxQueryGroup, group - h),
                                         .n_tokens = run.n_rows,
                                         .q_stride = args.q.row_stride,
                                         .out_stride = args.out.row_stride,
                                         .head_dim = args.head_dim,
                                         .scale = args.scale,
                                         .pages = pages,
                                         .first_key = first_key(position),
                                         .n_keys = position + 1,
                                         .sinks = sinks ? sinks + kv_head * group + h : nullptr,
                                         .type = kv_type_,
                                         .reads_from_memory = sequence->n_new == 1});
                   }
                 }
               });
  if (args.gated_q.data) gate_by_sigmoid(args.out, args.gate);
}

}  // namespace halod
