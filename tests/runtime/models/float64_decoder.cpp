#include "tests/runtime/models/float64_decoder.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "runtime/weights/gguf_file.h"
#include "runtime/weights/model_config.h"

namespace halod::test {
namespace {

using Vector = std::vector<double>;

class Decoder {
 public:
  explicit Decoder(const std::filesystem::path& model)
      : file_(GgufFile::open(model).value()), config_(read_model_config(file_).value()) {}

  std::vector<Vector> logits(std::span<const TokenId> tokens) const {
    const Vector embedding = tensor("token_embd.weight");
    std::vector<Vector> hidden;
    for (TokenId token : tokens) {
      const auto row = embedding.begin() + to_int(token) * config_.hidden_size;
      hidden.emplace_back(row, row + config_.hidden_size);
    }
    for (int64_t layer = 0; layer < config_.n_layers; ++layer) {
      prefix_ = "blk." + std::to_string(layer) + ".";
      add_attention(hidden);
      for (Vector& x : hidden)
        add(x, config_.is_moe() ? mixture(rms_norm(x, at("ffn_norm")))
                                : swiglu(rms_norm(x, at("ffn_norm")), "", 0));
    }
    const Vector output = file_.find_tensor("output.weight") ? tensor("output.weight") : embedding;
    std::vector<Vector> result;
    for (const Vector& x : hidden)
      result.push_back(multiply(output, config_.vocab_size, rms_norm(x, tensor("output_norm.weight"))));
    return result;
  }

 private:
  Vector tensor(const std::string& name) const {
    const TensorInfo& info = *file_.find_tensor(name);
    std::vector<std::byte> bytes(info.size_bytes);
    file_.read(info, 0, bytes).value();
    std::vector<float> values(static_cast<size_t>(info.n_elements()));
    traits(info.format).dequantize(bytes.data(), info.n_elements(), values.data());
    return {values.begin(), values.end()};
  }
  Vector at(const std::string& suffix) const { return tensor(prefix_ + suffix + ".weight"); }

  static void add(Vector& x, const Vector& y) {
    for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
  }
  static Vector multiply(std::span<const double> w, int64_t n_rows, const Vector& x) {
    Vector y(static_cast<size_t>(n_rows));
    for (size_t r = 0; r < y.size(); ++r) {
      y[r] =
          std::inner_product(x.begin(), x.end(), w.begin() + static_cast<std::ptrdiff_t>(r * x.size()), 0.0);
    }
    return y;
  }
  Vector rms_norm(const Vector& x, const Vector& weight) const {
    const double squares = std::inner_product(x.begin(), x.end(), x.begin(), 0.0);
    const double scale =
        1.0 / std::sqrt(squares / static_cast<double>(x.size()) + static_cast<double>(config_.rms_norm_eps));
    Vector y(x.size());
    for (size_t i = 0; i < x.size(); ++i) y[i] = x[i] * scale * weight[i];
    return y;
  }
  /// Norms and rotates each head: HF's rotate_half pairs (i, i + head_dim / 2).
  Vector rotated(const Vector& heads, const Vector& norm, size_t position) const {
    const auto dim = static_cast<size_t>(config_.head_dim);
    Vector out;
    for (size_t h = 0; h < heads.size() / dim; ++h) {
      const Vector x = rms_norm({heads.begin() + static_cast<std::ptrdiff_t>(h * dim),
                                 heads.begin() + static_cast<std::ptrdiff_t>((h + 1) * dim)},
                                norm);
      for (size_t i = 0; i < dim; ++i) {
        const double angle = static_cast<double>(position) *
                             std::pow(static_cast<double>(config_.rope_theta),
                                      -2.0 * static_cast<double>(i % (dim / 2)) / static_cast<double>(dim));
        const double partner = i < dim / 2 ? -x[i + dim / 2] : x[i - dim / 2];
        out.push_back(x[i] * std::cos(angle) + partner * std::sin(angle));
      }
    }
    return out;
  }

  void add_attention(std::vector<Vector>& hidden) const {
    const int64_t q_size = config_.n_heads * config_.head_dim,
                  kv_size = config_.n_kv_heads * config_.head_dim;
    const Vector wq = at("attn_q"), wk = at("attn_k"), wv = at("attn_v"), wo = at("attn_output");
    std::vector<Vector> q, k, v;
    for (size_t t = 0; t < hidden.size(); ++t) {
      const Vector x = rms_norm(hidden[t], at("attn_norm"));
      q.push_back(rotated(multiply(wq, q_size, x), at("attn_q_norm"), t));
      k.push_back(rotated(multiply(wk, kv_size, x), at("attn_k_norm"), t));
      v.push_back(multiply(wv, kv_size, x));
    }
    const auto dim = static_cast<size_t>(config_.head_dim);
    for (size_t t = 0; t < hidden.size(); ++t) {
      Vector attended(static_cast<size_t>(q_size));
      for (size_t h = 0; h < static_cast<size_t>(config_.n_heads); ++h) {
        const size_t kv_head =
            h * static_cast<size_t>(config_.n_kv_heads) / static_cast<size_t>(config_.n_heads);
        Vector weights;
        for (size_t s = 0; s <= t; ++s) {
          double dot = 0;
          for (size_t i = 0; i < dim; ++i) dot += q[t][h * dim + i] * k[s][kv_head * dim + i];
          weights.push_back(dot / std::sqrt(static_cast<double>(dim)));
        }
        softmax(weights);
        for (size_t s = 0; s <= t; ++s) {
          for (size_t i = 0; i < dim; ++i) attended[h * dim + i] += weights[s] * v[s][kv_head * dim + i];
        }
      }
      add(hidden[t], multiply(wo, config_.hidden_size, attended));
    }
  }

  static void softmax(Vector& x) {
    const double largest = *std::max_element(x.begin(), x.end());
    for (double& value : x) value = std::exp(value - largest);
    const double total = std::accumulate(x.begin(), x.end(), 0.0);
    for (double& value : x) value /= total;
  }

  /// `kind`: "" for a dense layer, "_exps" for expert number `expert` of a mixture.
  Vector swiglu(const Vector& x, const std::string& kind, size_t expert) const {
    const int64_t width = config_.is_moe() ? config_.moe_intermediate_size : config_.intermediate_size;
    const auto matrix_size = static_cast<size_t>(width * config_.hidden_size);
    const auto part = [&](const Vector& all) {
      return std::span(all).subspan(expert * matrix_size, matrix_size);
    };
    const Vector gate_weights = at("ffn_gate" + kind), up_weights = at("ffn_up" + kind),
                 down_weights = at("ffn_down" + kind);
    Vector gate = multiply(part(gate_weights), width, x);
    const Vector up = multiply(part(up_weights), width, x);
    for (size_t i = 0; i < gate.size(); ++i) gate[i] = gate[i] / (1.0 + std::exp(-gate[i])) * up[i];
    return multiply(part(down_weights), config_.hidden_size, gate);
  }

  Vector mixture(const Vector& x) const {
    Vector probabilities = multiply(at("ffn_gate_inp"), config_.n_experts, x);
    softmax(probabilities);
    std::vector<size_t> order(probabilities.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return probabilities[a] > probabilities[b]; });
    order.resize(static_cast<size_t>(config_.n_experts_per_token));
    double chosen = 0;
    for (size_t expert : order) chosen += probabilities[expert];
    Vector result(x.size());
    for (size_t expert : order) {
      Vector y = swiglu(x, "_exps", expert);
      for (double& value : y) value *= probabilities[expert] / chosen;
      add(result, y);
    }
    return result;
  }

  GgufFile file_;
  ModelConfig config_;
  mutable std::string prefix_;
};

}  // namespace

std::vector<std::vector<double>> float64_logits(const std::filesystem::path& model,
                                                std::span<const TokenId> tokens) {
  return Decoder(model).logits(tokens);
}

}  // namespace halod::test
