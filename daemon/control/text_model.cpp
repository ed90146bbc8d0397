#include "daemon/control/text_model.h"

#include <fmt/format.h>

#include <fstream>
#include <span>
#include <sstream>

#include "runtime/text/output_parser.h"
#include "runtime/weights/checkpoint.h"

namespace halod {
namespace {

std::vector<int32_t> to_ints(std::span<const TokenId> ids) {
  std::vector<int32_t> ints;
  ints.reserve(ids.size());
  for (const TokenId id : ids) ints.push_back(to_int(id));
  return ints;
}

std::string name_of(const Tokenizer& tokenizer, const std::optional<TokenId>& id) {
  return id ? std::string(tokenizer.token_text(*id)) : std::string();
}

/// gpt-oss' template calls the reasoning before a tool call `thinking`, shows it only there, and refuses
/// content beside it; what it would refuse goes to where it puts content that stands alone, the analysis.
void name_thinking(boost::json::object& context) {
  boost::json::value* messages = context.if_contains("messages");
  if (!messages || !messages->is_array()) return;
  for (boost::json::value& value : messages->get_array()) {
    boost::json::object* message = value.if_object();
    if (!message || !message->contains("tool_calls") || message->contains("thinking")) continue;
    const boost::json::value* reasoning = message->if_contains("reasoning_content");
    if (!reasoning || !reasoning->is_string() || reasoning->get_string().empty()) continue;
    boost::json::string thinking = reasoning->get_string();
    boost::json::value& content = (*message)["content"];
    if (content.is_string() && !content.get_string().empty()) {
      thinking += "\n\n";
      thinking += content.get_string();
    }
    content = "";
    (*message)["thinking"] = std::move(thinking);
  }
}

Error in_file(const std::filesystem::path& file, Error error) {
  if (error.message.find(file.string()) == std::string::npos)
    error.message = fmt::format("{}: {}", file.string(), error.message);
  return error;
}

}  // namespace

Result<TextModel> TextModel::create(const TokenizerData& data, std::string_view template_source) {
  Result<Tokenizer> tokenizer = Tokenizer::create(data);
  if (!tokenizer) return tokenizer.error();
  Result<ChatTemplate> chat_template = ChatTemplate::compile(template_source);
  if (!chat_template) return chat_template.error();
  return TextModel(std::move(*tokenizer), std::move(*chat_template), data.sampling);
}

Result<TextModel> TextModel::load(const std::filesystem::path& model_file,
                                  const std::filesystem::path& template_file) {
  const auto file = open_checkpoint(model_file);
  if (!file) return file.error();
  const Result<TokenizerData> data = (*file)->tokenizer_data();
  if (!data) return in_file(model_file, data.error());
  std::string source = data->chat_template;
  if (!template_file.empty()) {
    std::ostringstream text;
    text << std::ifstream(template_file, std::ios::binary).rdbuf();
    if (!text || text.str().empty()) {
      return Error{ErrorCode::kNotFound,
                   fmt::format("chat template {} cannot be read, or is empty", template_file.string()),
                   "model.chat_template_file"};
    }
    source = text.str();
  }
  Result<TextModel> model = create(*data, source);
  if (!model) return in_file(template_file.empty() ? model_file : template_file, model.error());
  return model;
}

Result<std::vector<int32_t>> TextModel::encode_prompt(std::string_view text) const {
  const Result<std::vector<TokenId>> ids =
      tokenizer_.encode(text, {.add_special = true, .parse_special = true});
  if (!ids) return ids.error();
  return to_ints(*ids);
}

Result<TextModel::RenderedChat> TextModel::render_chat(boost::json::object context) const {
  context["bos_token"] = name_of(tokenizer_, tokenizer_.bos());
  context["eos_token"] = name_of(tokenizer_, tokenizer_.eos());
  if (harmony_) name_thinking(context);
  const Result<std::string> prompt = chat_template_.render(context, local_time_now());
  if (!prompt)
    return Error{prompt.error().code, fmt::format("the chat template refused: {}", prompt.error().message),
                 "messages"};
  // The template writes the beginning-of-sequence token itself where it wants one.
  const Result<std::vector<TokenId>> ids =
      tokenizer_.encode(*prompt, {.add_special = false, .parse_special = true});
  if (!ids) return ids.error();
  RenderedChat chat{.prompt = to_ints(*ids), .opens_reasoning = prompt_opens_reasoning(*prompt)};
  if (harmony_) {
    const std::span<const TokenId> message = harmony_->open_message(*ids);
    chat.harmony_message.assign(message.begin(), message.end());
  }
  return chat;
}

std::vector<int32_t> TextModel::stop_token_ids() const { return to_ints(tokenizer_.end_of_generation()); }

}  // namespace halod
