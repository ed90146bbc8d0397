// The output of the GPU backend: logits, or only the best tokens.
#include <algorithm>
#include <cstring>

#include "runtime/backend/hip/hip_backend.h"
#include "runtime/backend/hip/rounding.h"

namespace halod::hip {

void HipBackend::output(const OutputArgs& args) {
  const int64_t n_rows = args.x.rows, vocab_size = args.weight.rows();
  const MatrixView<float> logits(logits_.of<float>(n_rows * vocab_size), n_rows, vocab_size);
  const PlacedWeight* weights[] = {&args.weight};
  multiply(read(args.x, true), n_rows, {.weights = weights, .outs = {&logits, 1}});
  read_logits(args, logits.data);
}

void HipBackend::read_logits(const OutputArgs& args, const float* logits) {
  const int64_t n_rows = args.x.rows, vocab_size = args.weight.rows();
  const auto cols = static_cast<int>(vocab_size);
  /// How many of a row's best tokens are found here; 0: its logits are read.
  const auto n_best = [&](int64_t row) {
    const int32_t n = args.best.empty() ? 0 : args.best[static_cast<size_t>(row)].n_wanted;
    return n > kMaxTopK || (n > 1 && top_k_shared_bytes(cols, kMaxTopK) > kMaxSharedBytes) ? 0 : n;
  };
  int64_t n_read = 0;
  int32_t k = 0;  // of all rows, because one launch serves them
  for (int64_t row = 0; row < n_rows; ++row) {
    n_read += n_best(row) == 0 ? 1 : 0;
    k = std::max(k, n_best(row));
  }
  const int64_t row_bytes = vocab_size * static_cast<int64_t>(sizeof(float));
  const int64_t n_results = n_rows * k;
  const int64_t best_bytes = aligned_bytes(n_results * static_cast<int64_t>(sizeof(ArgmaxResult)));
  const auto n_bytes = static_cast<uint64_t>(best_bytes + n_read * row_bytes);
  if (output_staging_.size() < n_bytes) {
    auto larger = PinnedMemory::allocate(*device_, n_bytes);
    if (!larger) throw DeviceError(larger.error().message);
    output_staging_ = std::move(*larger);
  }
  if (k > 0) {
    const int n_blocks = k == 1 ? kArgmaxBlocks : kTopKBlocks;
    auto* best = best_.of<ArgmaxResult>(n_results * (n_blocks + 1));
    auto* counters = counters_.of<uint32_t>(n_rows);
    if (k == 1) {
      launch(
          *device_, KernelId::argmax, {.x = n_blocks, .y = n_rows}, argmax_shared_bytes(),
          ArgmaxArgs{
              .x = logits, .cols = cols, .partials = best + n_results, .counters = counters, .best = best});
    } else {
      launch(*device_, KernelId::top_k, {.x = n_blocks, .y = n_rows}, top_k_shared_bytes(cols, k),
             TopKArgs{logits, cols, k, best + n_results, counters, best});
    }
    device_->copy_to_host(output_staging_.data(), best,
                          static_cast<uint64_t>(n_results) * sizeof(ArgmaxResult));
  }
  std::byte* staging = output_staging_.data() + best_bytes;
  for (int64_t row = 0; row < n_rows; ++row) {
    if (n_best(row) > 0) continue;
    device_->copy_to_host(staging, logits + row * vocab_size, static_cast<uint64_t>(row_bytes));
    staging += row_bytes;
  }
  device_->synchronize();
  staging = output_staging_.data() + best_bytes;
  const auto* results = reinterpret_cast<const ArgmaxResult*>(output_staging_.data());
  for (int64_t row = 0; row < n_rows; ++row) {
    if (n_best(row) > 0) {
      std::vector<TokenLogit>& found = args.best[static_cast<size_t>(row)].found;
      found.clear();
      for (const ArgmaxResult& result : std::span(results + row * k, static_cast<size_t>(n_best(row))))
        found.push_back({static_cast<TokenId>(result.index), result.value});
      continue;
    }
    std::memcpy(args.logits.row_data(row), staging, static_cast<size_t>(row_bytes));
    staging += row_bytes;
  }
}

}  // namespace halod::hip
