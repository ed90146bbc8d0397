// The operations that models may call. A model is written once against this; each device implements it.
//
// All activations are f32 matrices [n_tokens, features] in memory that alloc_activations() gave. Calls are
// ordered as on one stream; synchronize() waits for them. Rows are independent: row i of a result depends on
// row i of the inputs alone and is bit-identical whatever the number of rows.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "base/tensor_view.h"
#include "runtime/weights/gguf_file.h"

namespace halod {

/// Tokens per KV page. A power of two; small enough that a short chat wastes little, large enough to amortise
/// a page's address.
inline constexpr int64_t kKvPageTokens = 32;

/// A weight matrix (or a stack of them, one per expert) placed on the device in the layout its kernels want.
class PlacedWeight {
 public:
  virtual ~PlacedWeight() = default;
  int64_t rows() const { return rows_; }            ///< out_features, of one expert
  int64_t cols() const { return cols_; }            ///< in_features
  int64_t n_experts() const { return n_experts_; }  ///< 1 for plain matrices
  uint64_t bytes() const { return bytes_; }         ///< on the device, all experts

 protected:
  PlacedWeight(int64_t rows, int64_t cols, int64_t n_experts, uint64_t bytes)
      : rows_(rows), cols_(cols), n_experts_(n_experts), bytes_(bytes) {}

 private:
  int64_t rows_, cols_, n_experts_;
  uint64_t bytes_;
};

/// Device storage of all layers' keys and values, in pages.
class KvStorage {
 public:
  virtual ~KvStorage() = default;
  virtual uint64_t bytes() const = 0;
};

struct KvShape {
  int64_t n_layers = 0;
  int64_t n_kv_heads = 0;
  int64_t head_dim = 0;
};

/// One sequence's rows within the step, for attention.
struct AttentionSequence {
  std::span<const PageId> pages;
  int32_t n_past = 0;
  int32_t n_new = 0;
};

struct AttentionArgs {
  MatrixView<float> q;  ///< [n_tokens, n_heads * head_dim]; normalised and rotated in place
  MatrixView<float> k;  ///< [n_tokens, n_kv_heads * head_dim]; normalised and rotated in place, then stored
  MatrixView<const float> v;      ///< [n_tokens, n_kv_heads * head_dim]
  std::span<const float> q_norm;  ///< [head_dim] RMS norm weight per head; empty = none
  std::span<const float> k_norm;  ///< [head_dim]; empty = none
  float norm_epsilon = 0;
  MatrixView<const float>
      rope;         ///< [n_tokens, head_dim] from rope_angles(); NeoX pairing (i, i + head_dim/2)
  float scale = 0;  ///< of q.k before the softmax
  int64_t layer_idx = 0;
  int64_t n_heads = 0;
  int64_t n_kv_heads = 0;
  int64_t head_dim = 0;
  std::span<const AttentionSequence> sequences;
  MatrixView<float> out;  ///< [n_tokens, n_heads * head_dim]
};

struct MoeArgs {
  MatrixView<const float> x;   ///< [n_tokens, hidden_size], already normalised
  const PlacedWeight& router;  ///< [n_experts, hidden_size]
  const PlacedWeight& gate;    ///< n_experts x [moe_intermediate_size, hidden_size]
  const PlacedWeight& up;
  const PlacedWeight& down;  ///< n_experts x [hidden_size, moe_intermediate_size]
  int64_t n_experts_per_token = 0;
  MatrixView<float> residual;  ///< [n_tokens, hidden_size]: the weighted sum of the experts is added to it
};

struct DenseFfnArgs {
  MatrixView<const float> x;  ///< [n_tokens, hidden_size], already normalised
  const PlacedWeight& gate;
  const PlacedWeight& up;
  const PlacedWeight& down;
  MatrixView<float> residual;  ///< += down(silu(gate x) * (up x))
};

/// Which kernel variant does an operation; names as in the tables of kernels/ops.
struct SelectedKernel {
  std::string operation;  ///< "matmul"
  std::string format;     ///< of the weights or the cache: "Q8_0"; empty where there is none
  std::string variant;    ///< "avx512_vnni_tiles16"
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string name() const = 0;         ///< "cpu"
  virtual std::string device_name() const = 0;  ///< for people

  // -- memory
  // ---------------------------------------------------------------------------------------------------------
  /// Reads the tensor and places it. Shape {rows, cols} or {experts, rows, cols}. `on_bytes` is told each
  /// amount of file bytes done. Errors: kUnsupported when no kernel takes the format; kOutOfMemory; kIo.
  virtual Result<std::unique_ptr<PlacedWeight>> place_weight(
      const GgufFile& file, const TensorInfo& tensor, const std::function<void(uint64_t)>& on_bytes) = 0;
  virtual uint64_t kv_page_bytes(const KvShape& shape) const = 0;
  virtual Result<std::unique_ptr<KvStorage>> allocate_kv(const KvShape& shape, int64_t n_pages) = 0;
  /// Room for a [rows, cols] f32 matrix, kept until the backend is destroyed.
  virtual Result<MatrixView<float>> allocate_activations(int64_t rows, int64_t cols) = 0;
  /// Bytes of activations and kernel scratch so far.
  virtual uint64_t scratch_bytes() const = 0;

  // -- operations
  // -----------------------------------------------------------------------------------------------------
  /// out[t] = row tokens[t] of the embedding matrix, expanded to f32.
  virtual void embed(std::span<const TokenId> tokens, const PlacedWeight& embedding,
                     MatrixView<float> out) = 0;
  /// out[i] = x[rows[i]].
  virtual void gather_rows(MatrixView<const float> x, std::span<const int32_t> rows,
                           MatrixView<float> out) = 0;
  /// out[t, i] = x[t, i] / sqrt(mean_i(x[t, i]^2) + epsilon) * weight[i]. out may alias x.
  virtual void rms_norm(MatrixView<const float> x, std::span<const float> weight, float epsilon,
                        MatrixView<float> out) = 0;
  /// outs[i] = x * weights[i]^T: several matrices that read the same x (q, k and v), so that x is prepared
  /// once.
  virtual void linear(MatrixView<const float> x, std::span<const PlacedWeight* const> weights,
                      std::span<const MatrixView<float>> outs) = 0;
  /// residual += x * weight^T.
  virtual void linear_add(MatrixView<const float> x, const PlacedWeight& weight,
                          MatrixView<float> residual) = 0;
  /// out[t] = cos(positions[t] * f) for each of the frequencies f (radians per position), then their sines.
  /// Once per step: layers share it. Shape: out [n_tokens, 2 * inverse_frequencies.size()].
  virtual void rope_angles(std::span<const int32_t> positions, std::span<const float> inverse_frequencies,
                           MatrixView<float> out) = 0;
  /// Norms and rotates q and k, stores k and v into the pages, and attends causally over all of them.
  virtual void attention(const AttentionArgs& args, KvStorage& kv) = 0;
  /// Router softmax over all experts, top-k, weights renormalised to sum 1; then the experts' SwiGLU.
  virtual void moe(const MoeArgs& args) = 0;
  virtual void dense_ffn(const DenseFfnArgs& args) = 0;
  /// Waits until all of the above is done and its results can be read by the host.
  virtual void synchronize() = 0;

  /// What does which operation, for people: of weights, those placed so far. Empty where a backend does not
  /// say.
  virtual std::vector<SelectedKernel> selections() const { return {}; }
};

struct BackendOptions {
  std::string kind = "auto";  ///< auto, cpu, hip
  int n_threads = 0;          ///< CPU workers; 0 = one per physical core
  bool exact = false;  ///< reference kernels in f32 on the file's own blocks, f32 KV: slow, for comparing
};

/// One thread per physical core: a second hardware thread adds no memory bandwidth and shares the vector
/// units.
int default_cpu_threads();

/// Errors: kUnsupported with the reason when the wanted kind cannot run here.
Result<std::unique_ptr<Backend>> make_backend(const BackendOptions& options);

}  // namespace halod
