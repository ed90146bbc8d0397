#include "bench/loaded_model.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "runtime/backend/hip/hip_backend.h"
#include "runtime/backend/hip/lanes_device.h"
#include "runtime/backend/tuning/tuning_session.h"

namespace halod::bench {

Result<std::unique_ptr<Backend>> open_backend(const BackendOptions& options) {
  if (options.kind != "hip-lanes") return make_backend(options);
  return hip::HipBackend::open_untested(hip::make_lanes_device(), std::max(1, options.n_threads));
}

LoadedModel::LoadedModel(const LoadOptions& options) : options_(options) {
  backend_ = open_backend(options.backend).value();
  file_ = open_checkpoint(options.path).value();
  const int64_t n_pages = (options.context_length + kKvPageTokens - 1) / kKvPageTokens;
  for (int64_t i = 0; i < n_pages; ++i) pages_.push_back(static_cast<PageId>(i));
  model_ = load_model(*file_, *backend_,
                      {.n_kv_pages = n_pages,
                       .max_batch_tokens = options.max_batch_tokens,
                       .max_logit_rows = options.max_logit_rows,
                       .max_sequences = options.max_sequences},
                      options.callbacks)
               .value();
  if (!options.tuning_directory.empty())
    const TuningSession tuning(backend_->tuner(), {.directory = options.tuning_directory});
}

void LoadedModel::check(std::span<const TokenId> tokens) const {
  const auto n_tokens = static_cast<int64_t>(tokens.size()), vocab_size = config().vocab_size;
  const auto room = static_cast<int64_t>(pages_.size()) * kKvPageTokens;
  if (n_past_ + n_tokens > room) {
    throw ErrorException(
        {ErrorCode::kContextOverflow,
         fmt::format("{} tokens do not fit the {} that there is room for", n_past_ + n_tokens, room)});
  }
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (to_int(tokens[i]) < 0 || to_int(tokens[i]) >= vocab_size) {
      throw ErrorException({ErrorCode::kInvalidArgument,
                            fmt::format("token id {} at place {} is outside the vocabulary of {}",
                                        to_int(tokens[i]), i, vocab_size),
                            "ids"});
    }
  }
}

std::vector<float> LoadedModel::append(std::span<const TokenId> tokens, int64_t first_wanted, int64_t chunk) {
  check(tokens);
  const auto n_tokens = static_cast<int64_t>(tokens.size()), vocab_size = config().vocab_size;
  std::vector<float> logits(static_cast<size_t>((n_tokens - first_wanted) * vocab_size));
  int64_t n_logits = 0;
  for (int64_t begin = 0; begin < n_tokens;) {
    int64_t n_new = std::min({chunk, options_.max_batch_tokens, n_tokens - begin});
    // No step asks for more logits than there is room for.
    if (begin + n_new > first_wanted)
      n_new = std::min(n_new, std::max<int64_t>(first_wanted - begin, 0) + options_.max_logit_rows);
    std::vector<int32_t> wanted;
    for (int64_t i = std::max(begin, first_wanted); i < begin + n_new; ++i)
      wanted.push_back(static_cast<int32_t>(i - begin));
    const SequenceSlice slice = next_slice(n_new);
    model_->forward({.tokens = tokens.subspan(static_cast<size_t>(begin), static_cast<size_t>(n_new)),
                     .sequences = {&slice, 1},
                     .logit_rows = wanted},
                    {logits.data() + n_logits * vocab_size, static_cast<int64_t>(wanted.size()), vocab_size});
    n_logits += static_cast<int64_t>(wanted.size());
    n_past_ += n_new;
    begin += n_new;
  }
  return logits;
}

std::vector<float> LoadedModel::append(std::span<const TokenId> tokens) {
  return append(tokens, static_cast<int64_t>(tokens.size()) - 1, options_.max_batch_tokens);
}

SequenceSlice LoadedModel::next_slice(int64_t n_new) const {
  const size_t n_pages = static_cast<size_t>((n_past_ + n_new + kKvPageTokens - 1) / kKvPageTokens);
  return {std::span(pages_).first(n_pages), static_cast<int32_t>(n_past_), static_cast<int32_t>(n_new)};
}

std::vector<TokenLogit> LoadedModel::append_for_best(TokenId token, int32_t n_wanted) {
  check({&token, 1});
  const SequenceSlice slice = next_slice(1);
  const int32_t wanted = 0;
  BestTokens best{.n_wanted = n_wanted, .found = {}};
  std::vector<float> logits(static_cast<size_t>(config().vocab_size));
  model_->forward(
      {.tokens = {&token, 1}, .sequences = {&slice, 1}, .logit_rows = {&wanted, 1}, .best = {&best, 1}},
      {logits.data(), 1, config().vocab_size});
  ++n_past_;
  if (!best.found.empty()) return best.found;
  for (int32_t id = 0; id < static_cast<int32_t>(logits.size()); ++id)
    best.found.push_back({TokenId{id}, logits[static_cast<size_t>(id)]});
  std::ranges::stable_sort(best.found, std::ranges::greater(), &TokenLogit::logit);
  best.found.resize(static_cast<size_t>(n_wanted));
  return best.found;
}

TokenId LoadedModel::append_greedily(TokenId token) { return append_for_best(token, 1).front().token; }

TokenId LoadedModel::argmax(std::span<const float> logits) {
  return static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

std::vector<TokenId> parse_token_ids(const std::string& text) {
  std::vector<TokenId> ids;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    int32_t id = 0;
    const auto [stop, error] = std::from_chars(text.data() + begin, text.data() + end, id);
    if (error != std::errc() || stop != text.data() + end) {
      throw ErrorException(
          {ErrorCode::kInvalidArgument,
           fmt::format("--ids: '{}' is not a token id; give numbers with commas between, such as 1,2,3",
                       text.substr(begin, end - begin)),
           "ids"});
    }
    ids.push_back(static_cast<TokenId>(id));
    begin = end + 1;
  }
  return ids;
}

LoadCallbacks terminal_progress() {
  if (isatty(STDERR_FILENO) == 0) return {};
  return {.on_bytes = [last_percent = uint64_t{101}](uint64_t done, uint64_t total) mutable {
    const uint64_t percent = total > 0 ? done * 100 / total : 100;
    if (percent == last_percent) return;
    last_percent = percent;
    std::fprintf(stderr, "\rloading %3d %%%s", static_cast<int>(percent),
                 percent >= 100 ? "\r           \r" : "");
  }};
}

}  // namespace halod::bench
