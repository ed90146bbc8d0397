#include "daemon/control/answer.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

namespace halod {
AnswerText::AnswerText(const Tokenizer& tokenizer, Options options)
    : tokenizer_(&tokenizer), options_(std::move(options)), stop_(options_.stop) {
  if (!options_.parser) return;
  if (!options_.harmony_message.empty()) marks_ = HarmonyMarks::find(tokenizer);
  if (marks_) {
    start_harmony();
  } else {
    parser_.emplace(*options_.parser);
  }
}

/// The prompt may have opened more than the header that answers begin with; what it says is not said again.
void AnswerText::start_harmony() {
  harmony_.emplace(*options_.parser);
  for (const TokenId id : options_.harmony_message) {
    if (const auto mark = marks_->mark(id)) {
      harmony_->mark(*mark);
    } else {
      harmony_->push(tokenizer_->token_text(id));
    }
  }
  harmony_->end_prompt();
}

void AnswerText::add(OutputDelta delta, AnswerUpdate& update) {
  called_tools_ = called_tools_ || !delta.tool_calls.empty();
  update.delta.reasoning += delta.reasoning;
  update.delta.content += delta.content;
  std::ranges::move(delta.tool_calls, std::back_inserter(update.delta.tool_calls));
}

void AnswerText::add_text(const std::string& text, AnswerUpdate& update) {
  if (text.empty()) return;
  if (harmony_) {
    add(harmony_->push(text), update);
  } else if (parser_) {
    add(parser_->push(text), update);
  } else {
    update.delta.content += text;
  }
}

bool AnswerText::push(const GeneratedToken& token, AnswerUpdate& update) {
  ++n_tokens_;
  if (std::ranges::find(options_.stop_token_ids, token.token_id) != options_.stop_token_ids.end())
    return false;
  if (harmony_) return push_harmony(token, update);
  if (options_.logprobs) update.logprobs.push_back(token);
  // Control tokens structure the prompt; one in the middle of an answer is no text.
  const TokenId id{token.token_id};
  if (tokenizer_->is_control(id)) return false;
  add_text(stop_.push(utf8_.push(tokenizer_->token_text(id))), update);
  return stop_.stopped();
}

/// Headers are no text: they are neither cut at stop strings nor have they log-probabilities to show.
bool AnswerText::push_harmony(const GeneratedToken& token, AnswerUpdate& update) {
  const TokenId id{token.token_id};
  if (const auto mark = marks_->mark(id)) {
    flush_text(update);
    if (!stop_.stopped()) add(harmony_->mark(*mark), update);
    return stop_.stopped();
  }
  if (tokenizer_->is_control(id)) return false;
  const std::string_view bytes = tokenizer_->token_text(id);
  const bool is_header = harmony_->is_header(bytes);
  const std::string text = utf8_.push(bytes);
  if (is_header) {
    add(harmony_->push(text), update);
    return false;
  }
  if (options_.logprobs) update.logprobs.push_back(token);
  add(harmony_->begin_text(), update);
  add_text(stop_.push(text), update);
  return stop_.stopped();
}

void AnswerText::flush_text(AnswerUpdate& update) {
  add_text(stop_.push(utf8_.flush()), update);
  if (!stop_.stopped()) add_text(stop_.flush(), update);
}

void AnswerText::finish(FinishReason reason, AnswerUpdate& update) {
  flush_text(update);
  if (parser_) add(parser_->finish(), update);
  if (harmony_) add(harmony_->finish(), update);
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
