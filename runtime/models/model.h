// A loaded model: one step forward over a ragged batch.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/error.h"
#include "base/ids.h"
#include "base/tensor_view.h"
#include "runtime/backend/backend.h"
#include "runtime/weights/checkpoint.h"
#include "runtime/weights/model_config.h"

namespace halod {

/// One sequence's part of a step: `n_new` consecutive rows of the batch, which continue `n_past` tokens whose
/// KV is in `pages`. `pages` covers n_past + n_new tokens, kKvPageTokens each; the model writes the new
/// tokens' KV into them.
struct SequenceSlice {
  std::span<const PageId> pages;  ///< owned by the scheduler; outlives the step
  int32_t n_past = 0;
  int32_t n_new = 0;
  int32_t state_slot = 0;  ///< the sequence's own below ModelOptions::max_sequences, as long as it runs
};

/// One step: the slices' rows in order make up `tokens`.
struct Batch {
  std::span<const TokenId> tokens;
  std::span<const SequenceSlice> sequences;
  std::span<const int32_t> logit_rows;  ///< batch rows whose logits are wanted, ascending
  /// Empty, or one per logit row: rows of which the caller may need no more than the best tokens.
  std::span<BestTokens> best = {};
};

struct ModelOptions {
  int64_t n_kv_pages = 0;        ///< size of the KV pool in pages of kKvPageTokens
  int64_t max_batch_tokens = 0;  ///< upper bound of Batch::tokens
  int64_t max_logit_rows = 0;    ///< upper bound of Batch::logit_rows
  int64_t max_sequences = 1;     ///< upper bound of SequenceSlice::state_slot, exclusive
};

/// What a load tells while it goes on. Either may be empty.
struct LoadCallbacks {
  /// Bytes of weight data placed so far. One call at a time, but from any thread.
  std::function<void(uint64_t bytes_done, uint64_t bytes_total)> on_bytes = {};
  /// Called on the loading thread before each tensor, which may compute something else meanwhile. An error
  /// ends the load, which then returns it.
  std::function<Result<>()> between_tensors = {};
};

/// Every row's result is bit-identical whatever else is in the batch and however the prompt was cut into
/// steps: kernels treat rows independently and in one order. Thread: the engine thread alone.
class Model {
 public:
  virtual ~Model() = default;
  virtual const ModelConfig& config() const = 0;
  virtual int64_t n_kv_pages() const = 0;
  /// KV bytes of one page over all layers.
  virtual uint64_t kv_page_bytes() const = 0;
  virtual uint64_t weight_bytes() const = 0;
  virtual uint64_t scratch_bytes() const = 0;
  /// Bytes of weights that decoding one token reads (experts: n_experts_per_token of them), for GB/s and for
  /// predictions.
  virtual uint64_t weight_bytes_per_token() const = 0;

  /// Computes the batch, writes KV, and fills logits[i] with the logits of batch row logit_rows[i]; where
  /// best[i] is wanted, it may find that instead. Shapes: logits [logit_rows.size(), vocab_size] f32.
  /// REQUIRES: token ids in the vocabulary, sizes within ModelOptions. Throws DeviceError when the
  /// accelerator fails.
  virtual void forward(const Batch& batch, MatrixView<float> logits) = 0;
};

/// Places the weights on `backend` (which must outlive the model) and allocates KV and scratch.
/// Errors: kUnsupported (architecture or format), kCorruptFile (a tensor missing or of the wrong shape),
/// kOutOfMemory, kIo; what `between_tensors` returned.
Result<std::unique_ptr<Model>> load_model(const Checkpoint& file, Backend& backend,
                                          const ModelOptions& options, const LoadCallbacks& callbacks);

/// What the model keeps of its sequences.
KvShape kv_shape(const ModelConfig& config);
RecurrentShape recurrent_shape(const ModelConfig& config);

/// KV bytes that one page of `config` takes on `backend`, before anything is loaded; for sizing the pool.
uint64_t kv_page_bytes(const ModelConfig& config, const Backend& backend);

}  // namespace halod
