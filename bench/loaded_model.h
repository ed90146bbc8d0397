// A model with one sequence, driven by hand: what the commands and the model tests need, without the engine.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/ids.h"
#include "base/tensor_view.h"
#include "runtime/backend/backend.h"
#include "runtime/models/model.h"
#include "runtime/weights/checkpoint.h"

namespace halod::bench {

/// As make_backend(), and for the kind hip-lanes the GPU backend on the lanes of the CPU, which is nothing to
/// serve with.
Result<std::unique_ptr<Backend>> open_backend(const BackendOptions& options);

struct LoadOptions {
  std::filesystem::path path;
  BackendOptions backend;      ///< kind may also be hip-lanes: the GPU's kernels on the CPU, for tests
  int64_t context_length = 0;  ///< tokens of KV to have room for
  int64_t max_batch_tokens = 512;
  int64_t max_logit_rows = 1;
  int64_t max_sequences = 1;                    ///< that a step may hold; append() has one
  std::filesystem::path tuning_directory = {};  ///< with results to use; empty: untuned
  LoadCallbacks callbacks = {};
};

class LoadedModel {
 public:
  /// Throws ErrorException.
  explicit LoadedModel(const LoadOptions& options);

  Model& model() { return *model_; }
  const ModelConfig& config() const { return model_->config(); }
  const Backend& backend() const { return *backend_; }
  int64_t n_past() const { return n_past_; }
  /// Forgets the sequence's tokens after the first `n_past`.
  void rewind(int64_t n_past = 0) { n_past_ = n_past; }

  /// Appends tokens in steps of at most `chunk`; row i of the result holds the logits after
  /// tokens[first_wanted + i]. Throws ErrorException when they do not fit or an id is not in the vocabulary.
  std::vector<float> append(std::span<const TokenId> tokens, int64_t first_wanted, int64_t chunk);
  /// Appends tokens; the logits after the last one.
  std::vector<float> append(std::span<const TokenId> tokens);
  /// Appends one token; the n_wanted best next ones, best first, found on the device where that can.
  std::vector<TokenLogit> append_for_best(TokenId token, int32_t n_wanted);
  /// The best one.
  TokenId append_greedily(TokenId token);
  /// The best next token after `logits`, lowest id on ties.
  static TokenId argmax(std::span<const float> logits);

 private:
  void check(std::span<const TokenId> tokens) const;
  SequenceSlice next_slice(int64_t n_new) const;

  LoadOptions options_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<const Checkpoint> file_;
  std::unique_ptr<Model> model_;
  std::vector<PageId> pages_;
  int64_t n_past_ = 0;
};

/// "1,2,3" -> ids. Throws ErrorException naming the part that is not a number.
std::vector<TokenId> parse_token_ids(const std::string& text);

/// Draws load progress on standard error when that is a terminal.
LoadCallbacks terminal_progress();

}  // namespace halod::bench
