#include "bench/read_bandwidth.h"

#include <atomic>
#include <chrono>
#include <cstring>

namespace halod::bench {
namespace {

// Sixteen times a large CPU's L3 slice; the first pass also touches every page.
constexpr size_t kBufferBytes = 512U << 20;
constexpr int64_t kChunkBytes = 4 << 20;

uint64_t sum_words(const std::byte* data, int64_t n_bytes) {
  uint64_t sums[8] = {};
  for (int64_t i = 0; i < n_bytes; i += 64) {
    uint64_t words[8];
    std::memcpy(words, data + i, 64);
    for (int k = 0; k < 8; ++k) sums[k] += words[k];
  }
  uint64_t total = 0;
  for (uint64_t sum : sums) total += sum;
  return total;
}

}  // namespace

ReadBandwidth::ReadBandwidth(int n_threads)
    : threads_(n_threads), buffer_(MappedMemory::allocate(kBufferBytes).value()) {
  std::memset(buffer_.data(), 1, buffer_.size());
}

double ReadBandwidth::measure_gb_per_s() {
  std::atomic<uint64_t> total{0};
  const auto start = std::chrono::steady_clock::now();
  threads_.parallel_for(
      static_cast<int64_t>(kBufferBytes) / kChunkBytes, 1, [&](int64_t begin, int64_t end, int) {
        total += sum_words(buffer_.data() + begin * kChunkBytes, (end - begin) * kChunkBytes);
      });
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  checksum_ += total;
  return static_cast<double>(kBufferBytes) / elapsed.count() / 1e9;
}

}  // namespace halod::bench
