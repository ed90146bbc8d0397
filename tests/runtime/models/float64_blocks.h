// What whole forward passes in double precision are written with: a file's tensors and numbers, and the
// blocks that families share. Straight loops over whole sequences, no cache, no state, nothing of
// runtime/models or kernels but the reading of formats.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/ids.h"
#include "runtime/weights/gguf_file.h"

namespace halod::test {

using Vector = std::vector<double>;
using Rows = std::vector<Vector>;  ///< one per token

/// A model file, its tensors as doubles. Throws std::out_of_range for what it does not have.
class Float64File {
 public:
  explicit Float64File(const std::filesystem::path& path);

  const std::string& architecture() const { return architecture_; }
  /// "<architecture>.<suffix>".
  bool has_number(const std::string& suffix) const;
  double number(const std::string& suffix) const;
  int64_t count(const std::string& suffix) const;
  std::vector<int64_t> by_layer(const std::string& suffix) const;

  bool has(const std::string& name) const { return tensors_.contains(name); }
  const Vector& values(const std::string& name) const { return tensors_.at(name).values; }
  /// The matrix times x, or of a stack of matrices one of them.
  Vector times(const std::string& name, const Vector& x, int64_t matrix = 0) const;
  Rows times(const std::string& name, const Rows& x) const;

  Rows embedded(std::span<const TokenId> tokens) const;
  /// Final norm and output matrix.
  Rows logits(const Rows& hidden) const;
  double epsilon() const { return number("attention.layer_norm_rms_epsilon"); }

 private:
  struct Tensor {
    int64_t cols, rows;  ///< rows of one matrix
    Vector values;
  };
  std::string architecture_;
  Metadata metadata_;
  std::map<std::string, Tensor> tensors_;
};

double sigmoid(double x);
double silu(double x);
double softplus(double x);

void add(Vector& x, const Vector& y, double scale = 1);
Vector part(const Vector& x, int64_t first, int64_t n);
/// Each part of weight.size() values of its own.
Vector rms_norm(const Vector& x, const Vector& weight, double epsilon);
Rows rms_norm(const Rows& x, const Vector& weight, double epsilon);
/// The first n_rotated values of every head: i goes with i + n_rotated / 2.
Vector rotate_halves(const Vector& heads, int64_t head_dim, int64_t n_rotated, double base, int64_t position);
/// Causal, scaled by 1 / sqrt(head_dim); query head h reads kv head h / (heads / kv heads).
Rows attend(const Rows& q, const Rows& k, const Rows& v, int64_t head_dim);
/// silu(conv), every channel of its own, `weight` [channels][taps] with the token itself last.
Rows causal_convolution(const Rows& x, const Vector& weight, const Vector& bias);
/// down(silu(gate x) * (up x)), their names with `kind` between: "ffn_gate" + kind + ".weight".
Vector swiglu(const Float64File& file, const std::string& prefix, const std::string& kind, const Vector& x,
              int64_t expert = 0);

struct Share {
  int64_t expert;
  double weight;
};
/// The n with the best score + bias (no bias: empty), their shares the scores alone over their sum.
std::vector<Share> best_shares(const Vector& scores, const Vector& bias, int64_t n);

/// The families, one file each: logits of every position.
Rows glm4_moe_logits(const Float64File& file, std::span<const TokenId> tokens);
Rows minimax_m2_logits(const Float64File& file, std::span<const TokenId> tokens);
Rows nemotron_h_logits(const Float64File& file, std::span<const TokenId> tokens);
Rows qwen35_moe_logits(const Float64File& file, std::span<const TokenId> tokens);

}  // namespace halod::test
