#include "daemon/control/answer.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

namespace halod {
AnswerText::AnswerText(const Tokenizer& tokenizer, Options options)
    : tokenizer_(&tokenizer), options_(std::move(options)), stop_(options_.stop) {
  if (options_.parser) parser_.emplace(*options_.parser);
}

void AnswerText::add(OutputDelta delta, AnswerUpdate& update) {
  called_tools_ = called_tools_ || !delta.tool_calls.empty();
  update.delta.reasoning += delta.reasoning;
  update.delta.content += delta.content;
  std::ranges::move(delta.tool_calls, std::back_inserter(update.delta.tool_calls));
}

void AnswerText::add_text(const std::string& text, AnswerUpdate& update) {
  if (text.empty()) return;
  if (parser_) {
    add(parser_->push(text), update);
  } else {
    update.delta.content += text;
  }
}

bool AnswerText::push(const GeneratedToken& token, AnswerUpdate& update) {
  ++n_tokens_;
  if (std::ranges::find(options_.stop_token_ids, token.token_id) != options_.stop_token_ids.end())
    return false;
  if (options_.logprobs) update.logprobs.push_back(token);
  // Control tokens structure the prompt; one in the middle of an answer is no text.
  const TokenId id{token.token_id};
  if (tokenizer_->is_control(id)) return false;
  add_text(stop_.push(utf8_.push(tokenizer_->token_text(id))), update);
  return stop_.stopped();
}

void AnswerText::finish(FinishReason reason, AnswerUpdate& update) {
  add_text(stop_.push(utf8_.flush()), update);
  if (!stop_.stopped()) add_text(stop_.flush(), update);
  if (parser_) add(parser_->finish(), update);
  update.end = reason == FinishReason::length && !stop_.stopped() ? AnswerEnd::kLength
               : called_tools_                                    ? AnswerEnd::kToolCalls
                                                                  : AnswerEnd::kStop;
}

Answer::Answer(const Tokenizer& tokenizer, std::vector<AnswerText::Options> choices) {
  choices_.reserve(choices.size());
  for (AnswerText::Options& options : choices) choices_.emplace_back(tokenizer, std::move(options));
}

Result<std::vector<AnswerUpdate>> Answer::apply(const std::vector<GenerationEvent>& events,
                                                Generation& generation) {
  std::map<uint32_t, AnswerUpdate> updates;
  for (const GenerationEvent& event : events) {
    AnswerText& choice = choices_[event.choice_idx];
    AnswerUpdate& update = updates[event.choice_idx];
    update.choice_idx = event.choice_idx;
    if (update.end) continue;  // what the engine sent before it heard of the stop string
    if (const auto* token = std::get_if<GeneratedToken>(&event.what)) {
      if (!choice.push(*token, update)) continue;
      generation.cancel(event.choice_idx);
      choice.finish(FinishReason::stop, update);
      continue;
    }
    const auto& finished = std::get<RequestFinished>(event.what);
    if (finished.reason == FinishReason::error)
      return Error{error_code_from(finished.error_code), finished.error_message};
    if (finished.reason == FinishReason::cancelled)
      return Error{ErrorCode::kCancelled, "the generation was cancelled"};
    n_cached_tokens_ += finished.n_cached_tokens;
    choice.finish(finished.reason, update);
  }
  std::vector<AnswerUpdate> shown;
  for (auto& [choice_idx, update] : updates) {
    if (update.end || !update.delta.empty() || !update.logprobs.empty()) shown.push_back(std::move(update));
  }
  return shown;
}

AnswerUsage Answer::usage(uint64_t n_prompt_tokens) const {
  AnswerUsage usage{.n_prompt_tokens = n_prompt_tokens,
                    .n_cached_tokens = std::min(n_cached_tokens_, n_prompt_tokens)};
  for (const AnswerText& choice : choices_) usage.n_completion_tokens += choice.n_tokens();
  return usage;
}

}  // namespace halod
