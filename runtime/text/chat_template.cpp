#include "runtime/text/chat_template.h"

#include <fmt/format.h>

#include "runtime/text/jinja/interpreter.h"
#include "runtime/text/jinja/parser.h"

namespace halod {

const std::string_view kChatMlTemplate =
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message.role + '\\n' + (message.content if message.content is string else '') + "
    "'<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}";

struct ChatTemplate::State {
  jinja::Block block;
};

ChatTemplate::ChatTemplate(std::unique_ptr<const State> state) : state_(std::move(state)) {}
ChatTemplate::ChatTemplate(ChatTemplate&& other) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&& other) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

Result<ChatTemplate> ChatTemplate::compile(std::string_view source) {
  try {
    jinja::Block block = jinja::parse_template(source.empty() ? kChatMlTemplate : source);
    return ChatTemplate(std::make_unique<const State>(State{std::move(block)}));
  } catch (const jinja::TemplateError& error) {
    return Error{ErrorCode::kUnsupported,
                 fmt::format("chat template, line {}: {}", error.line(), error.what()),
                 "tokenizer.chat_template"};
  }
}

Result<std::string> ChatTemplate::render(const boost::json::object& context, const std::tm& now) const {
  try {
    return jinja::Interpreter(context, now).render(state_->block);
  } catch (const jinja::TemplateError& error) {
    if (error.kind() == jinja::TemplateError::Kind::kRaised)
      return Error{ErrorCode::kInvalidArgument, error.what(), "messages"};
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("the model's chat template cannot take this conversation (its line {}: {})",
                             error.line(), error.what()),
                 "messages"};
  }
}

std::tm local_time_now() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  return local;
}

}  // namespace halod
