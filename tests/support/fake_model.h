// A model without weights whose logits are a hash of the tokens so far, read back from the pages that the
// caller names. A wrong page table, a page given to two sequences, or a skipped token changes the answer or
// trips a check.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "runtime/models/model.h"
#include "tests/support/best_tokens.h"

namespace halod::testing_support {

class FakeModel : public Model {
 public:
  struct Options {
    int64_t vocab_size = 61;
    int64_t context_length = 256;
    int64_t n_kv_pages = 64;
    int64_t max_batch_tokens = 512;
    int64_t max_logit_rows = 8;
    bool is_recurrent = false;  ///< a sequence's past is in its state slot too, which must not be another's
  };

  explicit FakeModel(const Options& options) : options_(options) {
    config_.architecture = "fake";
    config_.vocab_size = options.vocab_size;
    config_.context_length = options.context_length;
    if (options.is_recurrent) {
      config_.n_layers = 2;
      config_.mixers = {Mixer::kGatedDeltaNet, Mixer::kAttention};
    }
    slots_.resize(static_cast<size_t>(options.n_kv_pages * kKvPageTokens));
    states_.resize(static_cast<size_t>(options.max_logit_rows));
  }

  const ModelConfig& config() const override { return config_; }
  int64_t n_kv_pages() const override { return options_.n_kv_pages; }
  uint64_t kv_page_bytes() const override { return 1024; }
  uint64_t weight_bytes() const override { return 4096; }
  uint64_t scratch_bytes() const override { return 512; }
  uint64_t weight_bytes_per_token() const override { return 4096; }

  void forward(const Batch& batch, MatrixView<float> logits) override {
    const auto n_tokens = static_cast<int64_t>(batch.tokens.size());
    require(n_tokens >= 1 && n_tokens <= options_.max_batch_tokens, "batch size");
    require(static_cast<int64_t>(batch.logit_rows.size()) <= options_.max_logit_rows, "number of logit rows");
    require(logits.rows == static_cast<int64_t>(batch.logit_rows.size()) && logits.cols == config_.vocab_size,
            "logits' shape");
    if (before_forward) before_forward(batch);
    std::vector<uint64_t> histories;
    for (const SequenceSlice& slice : batch.sequences) append_slice(slice, batch.tokens, histories);
    require(histories.size() == batch.tokens.size(), "slices cover the tokens");
    int32_t previous_row = -1;
    for (size_t i = 0; i < batch.logit_rows.size(); ++i) {
      require(batch.logit_rows[i] > previous_row && batch.logit_rows[i] < n_tokens, "logit rows ascend");
      previous_row = batch.logit_rows[i];
      const auto row = static_cast<size_t>(previous_row);
      fill_logits(histories[row], logits.row(static_cast<int64_t>(i)));
      if (to_int(batch.tokens[row]) == nan_token)
        logits(static_cast<int64_t>(i), 3) = std::numeric_limits<float>::quiet_NaN();
      if (finds_best && !batch.best.empty() && batch.best[i].n_wanted > 0)
        find_best(logits.row(static_cast<int64_t>(i)), batch.best[i]);
    }
    n_rows_computed += n_tokens;
    largest_batch = std::max(largest_batch, n_tokens);
    ++n_steps;
  }

  int64_t n_rows_computed = 0;
  int64_t n_steps = 0;
  int64_t largest_batch = 0;
  std::function<void(const Batch&)> before_forward;
  /// Rows whose token is this one get a NaN among their logits; negative = none.
  int32_t nan_token = -1;
  /// As a device that gives the best tokens in place of the logits where they are wanted.
  bool finds_best = false;

 private:
  static void find_best(std::span<float> logits, BestTokens& best) {
    best.found = best_tokens(logits, best.n_wanted);
    std::ranges::fill(logits, std::numeric_limits<float>::quiet_NaN());  // who reads them all the same fails
  }

  struct Slot {
    int32_t token = -1;
    int32_t position = -1;
  };

  static uint64_t mix(uint64_t x) {  // splitmix64's finaliser
    x += 0x9E3779B97F4A7C15;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
    return x ^ (x >> 31);
  }
  static void require(bool condition, const std::string& what) {
    if (!condition) throw std::logic_error("the fake model was called wrongly: " + what);
  }
  /// Writes the slice's tokens into its pages and appends, for each, the hash of everything up to it.
  void append_slice(const SequenceSlice& slice, std::span<const TokenId> tokens,
                    std::vector<uint64_t>& histories) {
    const int64_t n_all = int64_t{slice.n_past} + slice.n_new;
    require(slice.n_new >= 1 && n_all <= config_.context_length, "slice length");
    require(static_cast<int64_t>(slice.pages.size()) * kKvPageTokens >= n_all, "pages cover the slice");
    if (options_.is_recurrent) require_state(slice);
    uint64_t history = 0;
    for (int64_t position = 0; position < n_all; ++position) {
      Slot& stored = slot(slice, position);
      if (position >= slice.n_past) {
        require(histories.size() < tokens.size(), "slices within the tokens");
        stored = {to_int(tokens[histories.size()]), static_cast<int32_t>(position)};
        require(stored.token >= 0 && stored.token < config_.vocab_size, "token within the vocabulary");
      }
      require(stored.position == position, "page table: a page holds another position's tokens");
      history = mix(history ^ static_cast<uint64_t>(stored.token + 1));
      if (position >= slice.n_past) histories.push_back(history);
      if (options_.is_recurrent && position + 1 == n_all)
        states_[static_cast<size_t>(slice.state_slot)] = {n_all, history};
    }
  }
  /// The slot must hold exactly the sequence's past, which its pages tell.
  void require_state(const SequenceSlice& slice) {
    require(slice.state_slot >= 0 && slice.state_slot < options_.max_logit_rows, "state slot");
    if (slice.n_past == 0) return;
    uint64_t history = 0;
    for (int64_t position = 0; position < slice.n_past; ++position)
      history = mix(history ^ static_cast<uint64_t>(slot(slice, position).token + 1));
    const State& state = states_[static_cast<size_t>(slice.state_slot)];
    require(state.n_tokens == slice.n_past && state.history == history,
            "the state slot holds another sequence's past");
  }
  /// Spread like a small model's: most between -4 and 4.
  static void fill_logits(uint64_t history, std::span<float> logits) {
    for (size_t id = 0; id < logits.size(); ++id) {
      logits[id] = static_cast<float>(mix(history ^ (id << 32)) % 80001) / 10000.0F - 4.0F;
    }
  }
  Slot& slot(const SequenceSlice& slice, int64_t position) {
    const auto page = to_int(slice.pages[static_cast<size_t>(position / kKvPageTokens)]);
    return slots_[static_cast<size_t>(int64_t{page} * kKvPageTokens + position % kKvPageTokens)];
  }

  struct State {
    int64_t n_tokens = 0;
    uint64_t history = 0;
  };

  std::vector<Slot> slots_;
  std::vector<State> states_;
  Options options_;
  ModelConfig config_;
};

}  // namespace halod::testing_support
