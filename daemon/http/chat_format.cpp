#include <fmt/format.h>

#include <boost/json/array.hpp>

#include "daemon/http/answer_format.h"
#include "daemon/http/token_json.h"

namespace halod {
namespace {

namespace json = boost::json;

class ChatFormat : public AnswerFormat {
 public:
  explicit ChatFormat(AnswerFormatArgs args) : args_(std::move(args)), choices_(args_.n_choices) {}

  json::object chunk(const AnswerUpdate& update) override {
    Choice& state = choices_[update.choice_idx];
    json::object delta;
    if (!std::exchange(state.begun, true)) {
      delta["role"] = "assistant";
      delta["content"] = "";
    }
    if (!update.delta.reasoning.empty()) delta["reasoning_content"] = update.delta.reasoning;
    if (!update.delta.content.empty()) delta["content"] = update.delta.content;
    if (!update.delta.tool_calls.empty()) delta["tool_calls"] = tool_calls(update, state, true);
    json::object object = head("chat.completion.chunk");
    object["choices"] = json::array{choice(update, "delta", std::move(delta))};
    if (args_.include_usage) object["usage"] = nullptr;
    return object;
  }

  json::object usage_chunk(const AnswerUsage& usage) override {
    json::object object = head("chat.completion.chunk");
    object["choices"] = json::array();
    object["usage"] = usage_json(usage);
    return object;
  }

  json::object whole(const std::vector<AnswerUpdate>& choices, const AnswerUsage& usage) override {
    json::array list;
    for (const AnswerUpdate& update : choices) {
      const OutputDelta& answer = update.delta;
      json::object message{{"role", "assistant"}};
      // OpenAI's null: an answer that is tool calls and nothing else.
      message["content"] = answer.content.empty() && !answer.tool_calls.empty() ? json::value(nullptr)
                                                                                : json::value(answer.content);
      if (!answer.reasoning.empty()) message["reasoning_content"] = answer.reasoning;
      if (!answer.tool_calls.empty())
        message["tool_calls"] = tool_calls(update, choices_[update.choice_idx], false);
      list.emplace_back(choice(update, "message", std::move(message)));
    }
    json::object object = head("chat.completion");
    object["choices"] = std::move(list);
    object["usage"] = usage_json(usage);
    return object;
  }

 private:
  struct Choice {
    bool begun = false;
    size_t n_tool_calls = 0;
  };

  json::object head(std::string_view kind) const {
    json::object object;
    object["id"] = "chatcmpl-" + args_.head.id;
    object["object"] = kind;
    object["created"] = args_.head.created;
    object["model"] = args_.head.model;
    object["system_fingerprint"] = args_.head.fingerprint;
    return object;
  }

  json::object choice(const AnswerUpdate& update, std::string_view part, json::object content) const {
    json::object object;
    object["index"] = update.choice_idx;
    object[part] = std::move(content);
    object["logprobs"] = nullptr;
    if (args_.logprobs) object["logprobs"] = logprobs(update);
    object["finish_reason"] = update.end ? json::value(finish_reason(*update.end)) : json::value(nullptr);
    return object;
  }

  json::array tool_calls(const AnswerUpdate& update, Choice& state, bool in_stream) const {
    json::array list;
    for (const ToolCall& call : update.delta.tool_calls) {
      const size_t call_idx = state.n_tool_calls++;
      json::object object;
      if (in_stream) object["index"] = call_idx;
      object["id"] = fmt::format("call_{}_{}_{}", args_.head.id, update.choice_idx, call_idx);
      object["type"] = "function";
      object["function"] = json::object{{"name", call.name}, {"arguments", call.arguments}};
      list.emplace_back(std::move(object));
    }
    return list;
  }

  json::object logprobs(const AnswerUpdate& update) const {
    json::array content;
    for (const GeneratedToken& token : update.logprobs) {
      json::object entry = token_logprob_json(args_.tokenizer, {token.token_id, token.logprob});
      json::array top;
      for (const TokenLogprob& alternative : token.top_logprobs)
        top.emplace_back(token_logprob_json(args_.tokenizer, alternative));
      entry["top_logprobs"] = std::move(top);
      content.emplace_back(std::move(entry));
    }
    json::object object;
    object["content"] = std::move(content);
    object["refusal"] = nullptr;
    return object;
  }

  AnswerFormatArgs args_;
  std::vector<Choice> choices_;
};

}  // namespace

std::unique_ptr<AnswerFormat> make_chat_format(AnswerFormatArgs args) {
  return std::make_unique<ChatFormat>(std::move(args));
}

}  // namespace halod
