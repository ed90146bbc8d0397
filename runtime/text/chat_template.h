// A model's chat template: messages in, prompt text out.
#pragma once

#include <boost/json/object.hpp>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"

namespace halod {

/// For models that bring none: "<|im_start|>role\ncontent<|im_end|>\n".
extern const std::string_view kChatMlTemplate;

/// A compiled Jinja template with the environment that Hugging Face renders chat templates in: trim_blocks
/// and lstrip_blocks on, loop controls, `tojson` as json.dumps(ensure_ascii=False), raise_exception,
/// strftime_now. Immutable. Thread: render() from any thread at once. Templates come with model files, so
/// they are untrusted: time, memory, output and recursion are bounded (jinja/budget.h).
class ChatTemplate {
 public:
  /// An empty source means kChatMlTemplate.
  /// Errors: kUnsupported with the template's line: a syntax error, or something that this interpreter does
  /// not know.
  static Result<ChatTemplate> compile(std::string_view source);
  ChatTemplate(ChatTemplate&& other) noexcept;
  ChatTemplate& operator=(ChatTemplate&& other) noexcept;
  ~ChatTemplate();

  /// `context`: the template's variables (messages, tools, add_generation_prompt, bos_token, eos_token,
  /// enable_thinking, …); JSON null is Python's None; what is missing is undefined. Tool-call arguments
  /// should be objects, not JSON text. `now`: the local time that strftime_now formats. Errors:
  /// kInvalidArgument. The message alone when the template itself raised one; else what went wrong and at
  /// which line of the template.
  Result<std::string> render(const boost::json::object& context, const std::tm& now) const;

 private:
  struct State;
  explicit ChatTemplate(std::unique_ptr<const State> state);
  std::unique_ptr<const State> state_;
};

/// The machine's local time, for render(). Thread: any.
std::tm local_time_now();

}  // namespace halod
