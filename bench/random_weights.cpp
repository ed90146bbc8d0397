#include "bench/random_weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <string>

#include "base/error.h"
#include "kernels/quant/formats.h"

namespace halod {
namespace {

// Enough that no two rows look alike, few enough to stay in the L2 cache while they are copied (4096 Q4_K
// blocks: 590 KB).
constexpr int64_t kMaxPoolRuns = 4096;
constexpr int64_t kMaxRunElements = 256;

// splitmix64's output function: a counter in, 64 well-mixed bits out. Source: Steele, Lea and Flood 2014.
uint64_t mix(uint64_t counter) {
  uint64_t z = counter * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// Mean 0, variance 1, within +-3.5: the sum of four uniform numbers of 16 bits. Exact integer arithmetic and
// one multiplication, so the same everywhere, unlike std::normal_distribution.
float gaussian_like(uint64_t bits) {
  int64_t sum = -2 * 65535;
  for (int i = 0; i < 4; ++i, bits >>= 16) sum += static_cast<int64_t>(bits & 0xffff);
  return static_cast<float>(sum) * (1.7320508f / 65536.0f);
}

uint64_t hash_of(std::string_view name, uint64_t seed) {
  uint64_t hash = mix(seed);
  for (const char character : name) hash = mix(hash ^ static_cast<unsigned char>(character));
  return hash;
}

}  // namespace

RandomWeights::RandomWeights(const TensorInfo& tensor, uint64_t seed) : seed_(hash_of(tensor.name, seed)) {
  const FormatTraits& format = traits(tensor.format);
  run_elements_ = std::max(format.block_elements, std::gcd(tensor.cols(), kMaxRunElements));
  run_bytes_ = static_cast<size_t>(format.row_bytes(run_elements_));
  runs_per_row_ = tensor.cols() / run_elements_;
  const int64_t n_runs = std::min(kMaxPoolRuns, tensor.rows() * runs_per_row_);
  n_pool_runs_ = static_cast<size_t>(n_runs);

  const bool is_norm = tensor.name.find("norm") != std::string::npos;
  // Biases and sinks weigh as much as what they are added to, so that a forgotten one shows.
  const bool is_bias = tensor.name.ends_with(".bias") || tensor.name.find("sinks") != std::string::npos;
  // The rate at which a recurrent head forgets: negative.
  const bool is_decay = tensor.name.ends_with(".ssm_a");
  const float mean = is_norm ? 1.0f : is_decay ? -1.0f : 0.0f;
  const float of_weights = 1.0f / std::sqrt(static_cast<float>(tensor.cols()));
  const float deviation = is_norm ? 0.1f : is_decay ? 0.25f : is_bias ? 1.0f : of_weights;
  std::vector<float> values(static_cast<size_t>(n_runs * run_elements_));
  for (size_t i = 0; i < values.size(); ++i) values[i] = mean + deviation * gaussian_like(mix(seed_ + i));
  pool_.resize(n_pool_runs_ * run_bytes_);
  format.quantize(values.data(), static_cast<int64_t>(values.size()), pool_.data());
}

void RandomWeights::fill(int64_t first_row, int64_t n_rows, std::span<std::byte> out) const {
  const int64_t first_run = first_row * runs_per_row_;
  const int64_t n_runs = n_rows * runs_per_row_;
  HALOD_ASSERT(out.size() == static_cast<size_t>(n_runs) * run_bytes_);
  for (int64_t i = 0; i < n_runs; ++i) {
    const size_t pool_idx = mix(~seed_ + static_cast<uint64_t>(first_run + i)) % n_pool_runs_;
    std::memcpy(out.data() + static_cast<size_t>(i) * run_bytes_, pool_.data() + pool_idx * run_bytes_,
                run_bytes_);
  }
}

}  // namespace halod
