#include "bench/read_bandwidth.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "kernels/ops/peak.h"

namespace halod::bench {
namespace {

// Sixteen times a large CPU's L3 slice; the first pass also touches every page.
constexpr size_t kBufferBytes = 512U << 20;
constexpr int64_t kChunkBytes = 4 << 20;

void (*widest_read())(const ReadPeakArgs&) {
  const auto variants = read_peak_variants();
  return std::ranges::find_if(variants, [](const auto& v) { return runs_on(v.isa, cpu_features()); })->run;
}

}  // namespace

ReadBandwidth::ReadBandwidth(int n_threads)
    : threads_(n_threads), buffer_(MappedMemory::allocate(kBufferBytes).value()) {
  std::memset(buffer_.data(), 1, buffer_.size());
}

double ReadBandwidth::measure_gb_per_s() {
  const auto read = widest_read();
  const auto start = std::chrono::steady_clock::now();
  threads_.parallel_for(
      static_cast<int64_t>(kBufferBytes) / kChunkBytes, 1, [&](int64_t begin, int64_t end, int) {
        float sums[16];
        read({.values = reinterpret_cast<const float*>(buffer_.data() + begin * kChunkBytes),
              .n_values = (end - begin) * kChunkBytes / static_cast<int64_t>(sizeof(float)),
              .result = sums});
      });
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  return static_cast<double>(kBufferBytes) / elapsed.count() / 1e9;
}

}  // namespace halod::bench
