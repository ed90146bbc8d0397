#include "tests/runtime/models/float64_blocks.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace halod::test {

Float64File::Float64File(const std::filesystem::path& path) {
  const GgufFile file = GgufFile::open(path).value();
  metadata_ = file.metadata();
  architecture_ = metadata_.string("general.architecture").value();
  for (const TensorInfo& info : file.tensors()) {
    std::vector<std::byte> bytes(info.size_bytes);
    file.read(info, 0, bytes).value();
    std::vector<float> values(static_cast<size_t>(info.n_elements()));
    traits(info.format).dequantize(bytes.data(), info.n_elements(), values.data());
    tensors_[info.name] = {.cols = info.shape.back(),
                           .rows = info.shape.size() > 1 ? info.shape[info.shape.size() - 2] : 1,
                           .values = {values.begin(), values.end()}};
  }
}

bool Float64File::has_number(const std::string& suffix) const {
  return metadata_.contains(architecture_ + "." + suffix);
}
double Float64File::number(const std::string& suffix) const {
  return metadata_.real(architecture_ + "." + suffix).value();
}
int64_t Float64File::count(const std::string& suffix) const {
  return metadata_.integer(architecture_ + "." + suffix).value();
}
std::vector<int64_t> Float64File::by_layer(const std::string& suffix) const {
  const auto values = metadata_.integers(architecture_ + "." + suffix).value();
  return {values.begin(), values.end()};
}

Vector Float64File::times(const std::string& name, const Vector& x, int64_t matrix) const {
  const Tensor& tensor = tensors_.at(name);
  if (tensor.cols != static_cast<int64_t>(x.size())) throw std::out_of_range(name + " and its operand");
  Vector y;
  for (int64_t row = matrix * tensor.rows; row < (matrix + 1) * tensor.rows; ++row) {
    const auto weights = tensor.values.begin() + row * tensor.cols;
    y.push_back(std::inner_product(x.begin(), x.end(), weights, 0.0));
  }
  return y;
}

Rows Float64File::times(const std::string& name, const Rows& x) const {
  Rows y;
  for (const Vector& row : x) y.push_back(times(name, row));
  return y;
}

Rows Float64File::embedded(std::span<const TokenId> tokens) const {
  Rows hidden;
  for (const TokenId token : tokens) {
    const int64_t size = count("embedding_length");
    hidden.push_back(part(values("token_embd.weight"), to_int(token) * size, size));
  }
  return hidden;
}

Rows Float64File::logits(const Rows& hidden) const {
  return times(has("output.weight") ? "output.weight" : "token_embd.weight",
               rms_norm(hidden, values("output_norm.weight"), epsilon()));
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double silu(double x) { return x * sigmoid(x); }
double softplus(double x) { return std::log1p(std::exp(x)); }

void add(Vector& x, const Vector& y, double scale) {
  for (size_t i = 0; i < y.size(); ++i) x.at(i) += scale * y[i];
}

Vector part(const Vector& x, int64_t first, int64_t n) { return {x.begin() + first, x.begin() + first + n}; }

Vector rms_norm(const Vector& x, const Vector& weight, double epsilon) {
  Vector y;
  for (size_t first = 0; first < x.size(); first += weight.size()) {
    double squares = 0;
    for (size_t i = 0; i < weight.size(); ++i) squares += x.at(first + i) * x.at(first + i);
    const double root = std::sqrt(squares / static_cast<double>(weight.size()) + epsilon);
    for (size_t i = 0; i < weight.size(); ++i) y.push_back(x[first + i] / root * weight[i]);
  }
  return y;
}

Rows rms_norm(const Rows& x, const Vector& weight, double epsilon) {
  Rows y;
  for (const Vector& row : x) y.push_back(rms_norm(row, weight, epsilon));
  return y;
}

Vector rotate_halves(const Vector& heads, int64_t head_dim, int64_t n_rotated, double base,
                     int64_t position) {
  Vector y = heads;
  for (int64_t head = 0; head < static_cast<int64_t>(heads.size()); head += head_dim) {
    for (int64_t i = 0; i < n_rotated / 2; ++i) {
      const double angle = static_cast<double>(position) /
                           std::pow(base, 2 * static_cast<double>(i) / static_cast<double>(n_rotated));
      const auto first = static_cast<size_t>(head + i),
                 second = static_cast<size_t>(head + i + n_rotated / 2);
      y[first] = heads[first] * std::cos(angle) - heads[second] * std::sin(angle);
      y[second] = heads[second] * std::cos(angle) + heads[first] * std::sin(angle);
    }
  }
  return y;
}

Rows attend(const Rows& q, const Rows& k, const Rows& v, int64_t head_dim) {
  const auto dim = static_cast<size_t>(head_dim);
  const size_t group = q[0].size() / k[0].size();
  Rows out;
  for (size_t t = 0; t < q.size(); ++t) {
    Vector attended(q[t].size());
    for (size_t head = 0; head < q[t].size() / dim; ++head) {
      const size_t at = head * dim, kv_at = head / group * dim;
      Vector weights;
      for (size_t s = 0; s <= t; ++s) {
        double dot = 0;
        for (size_t i = 0; i < dim; ++i) dot += q[t][at + i] * k[s][kv_at + i];
        weights.push_back(dot / std::sqrt(static_cast<double>(dim)));
      }
      const double largest = *std::ranges::max_element(weights);
      double total = 0;
      for (double& weight : weights) total += weight = std::exp(weight - largest);
      for (size_t s = 0; s <= t; ++s) {
        for (size_t i = 0; i < dim; ++i) attended[at + i] += weights[s] / total * v[s][kv_at + i];
      }
    }
    out.push_back(std::move(attended));
  }
  return out;
}

Rows causal_convolution(const Rows& x, const Vector& weight, const Vector& bias) {
  Rows y;
  for (size_t t = 0; t < x.size(); ++t) {
    const size_t n_channels = x[t].size(), n_taps = weight.size() / n_channels;
    Vector out(n_channels);
    for (size_t channel = 0; channel < n_channels; ++channel) {
      double sum = bias.empty() ? 0 : bias.at(channel);
      for (size_t back = 0; back < n_taps && back <= t; ++back)
        sum += weight[channel * n_taps + n_taps - 1 - back] * x[t - back][channel];
      out[channel] = silu(sum);
    }
    y.push_back(std::move(out));
  }
  return y;
}

Vector swiglu(const Float64File& file, const std::string& prefix, const std::string& kind, const Vector& x,
              int64_t expert) {
  Vector gate = file.times(prefix + "ffn_gate" + kind + ".weight", x, expert);
  const Vector up = file.times(prefix + "ffn_up" + kind + ".weight", x, expert);
  for (size_t i = 0; i < gate.size(); ++i) gate[i] = silu(gate[i]) * up[i];
  return file.times(prefix + "ffn_down" + kind + ".weight", gate, expert);
}

std::vector<Share> best_shares(const Vector& scores, const Vector& bias, int64_t n) {
  std::vector<Share> all;
  for (size_t i = 0; i < scores.size(); ++i)
    all.push_back({static_cast<int64_t>(i), scores[i] + (bias.empty() ? 0 : bias.at(i))});
  std::ranges::stable_sort(all, std::ranges::greater(), &Share::weight);
  all.resize(static_cast<size_t>(n));
  double total = 0;
  for (Share& share : all) total += share.weight = scores[static_cast<size_t>(share.expert)];
  for (Share& share : all) share.weight /= total;
  return all;
}

}  // namespace halod::test
