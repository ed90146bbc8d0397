#include <algorithm>
#include <boost/json/array.hpp>

#include "daemon/http/answer_format.h"
#include "daemon/http/token_json.h"

namespace halod {
namespace {

namespace json = boost::json;

class CompletionFormat : public AnswerFormat {
 public:
  explicit CompletionFormat(AnswerFormatArgs args)
      : args_(std::move(args)), text_offsets_(args_.n_choices, 0) {}

  json::object chunk(const AnswerUpdate& update) override {
    json::object object = head();
    object["choices"] = json::array{choice(update)};
    if (args_.include_usage) object["usage"] = nullptr;
    return object;
  }

  json::object usage_chunk(const AnswerUsage& usage) override {
    json::object object = head();
    object["choices"] = json::array();
    object["usage"] = usage_json(usage);
    return object;
  }

  json::object whole(const std::vector<AnswerUpdate>& choices, const AnswerUsage& usage) override {
    json::array list;
    for (const AnswerUpdate& update : choices) list.emplace_back(choice(update));
    json::object object = head();
    object["choices"] = std::move(list);
    object["usage"] = usage_json(usage);
    return object;
  }

 private:
  json::object head() const {
    json::object object;
    object["id"] = "cmpl-" + args_.head.id;
    object["object"] = "text_completion";
    object["created"] = args_.head.created;
    object["model"] = args_.head.model;
    object["system_fingerprint"] = args_.head.fingerprint;
    return object;
  }

  json::object choice(const AnswerUpdate& update) {
    json::object object;
    object["index"] = update.choice_idx;
    object["text"] = update.delta.content;
    object["logprobs"] = nullptr;
    if (args_.logprobs) object["logprobs"] = logprobs(update);
    object["finish_reason"] = update.end ? json::value(finish_reason(*update.end)) : json::value(nullptr);
    return object;
  }

  json::object logprobs(const AnswerUpdate& update) {
    json::array tokens;
    json::array token_logprobs;
    json::array top_logprobs;
    json::array text_offsets;
    for (const GeneratedToken& token : update.logprobs) {
      const std::string text = printable_token(args_.tokenizer, token.token_id);
      text_offsets.emplace_back(text_offsets_[update.choice_idx]);
      const auto begins_code_point = [](char byte) { return (byte & 0xC0) != 0x80; };
      text_offsets_[update.choice_idx] += static_cast<size_t>(std::ranges::count_if(text, begins_code_point));
      json::object top;
      for (const TokenLogprob& alternative : token.top_logprobs) {
        top[printable_token(args_.tokenizer, alternative.token_id)] = finite_logprob(alternative.logprob);
      }
      tokens.emplace_back(text);
      token_logprobs.emplace_back(finite_logprob(token.logprob));
      top_logprobs.emplace_back(std::move(top));
    }
    json::object object;
    object["tokens"] = std::move(tokens);
    object["token_logprobs"] = std::move(token_logprobs);
    object["top_logprobs"] = std::move(top_logprobs);
    object["text_offset"] = std::move(text_offsets);
    return object;
  }

  AnswerFormatArgs args_;
  std::vector<size_t> text_offsets_;  // code points, by choice
};

}  // namespace

std::unique_ptr<AnswerFormat> make_completion_format(AnswerFormatArgs args) {
  return std::make_unique<CompletionFormat>(std::move(args));
}

}  // namespace halod
