#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "daemon/http/openai_request.h"

namespace halod {
namespace {

namespace json = boost::json;

/// The template's variables that a request may not replace by chat_template_kwargs.
constexpr std::array<std::string_view, 3> kReservedVariables{"messages", "tools", "add_generation_prompt"};

json::array read_tools(FieldReader& reader) {
  const json::array* tools = reader.array("tools");
  if (!tools) return {};
  for (size_t i = 0; i < tools->size() && !reader.failed(); ++i) {
    const std::string at = fmt::format("tools[{}]", i);
    const json::object* tool = (*tools)[i].if_object();
    if (!tool) {
      reader.fail(at, fmt::format("is {}; it takes an object", kind_name((*tools)[i])));
      break;
    }
    FieldReader tool_reader(*tool, at);
    if (const auto type = tool_reader.string("type"); type && *type != "function") {
      tool_reader.fail("type", fmt::format("is '{}'; this server takes 'function' only", *type),
                       ErrorCode::kUnsupported);
    }
    const json::object* function = tool_reader.object("function");
    if (!function) tool_reader.fail("function", "is missing; it takes an object with 'name'");
    if (tool_reader.failed()) {
      reader.adopt(tool_reader);
      break;
    }
    FieldReader function_reader(*function, tool_reader.path_of("function"));
    if (!function_reader.string("name")) function_reader.fail("name", "is missing; it takes a string");
    function_reader.object("parameters");
    reader.adopt(function_reader);
  }
  return *tools;
}

/// False for "none". What cannot be promised without constraining the tokens is refused instead of hoped for.
bool read_tool_choice(FieldReader& reader) {
  const json::value* choice = reader.find("tool_choice");
  if (!choice) return true;
  if (choice->is_object() || (choice->is_string() && choice->get_string() == "required")) {
    reader.fail("tool_choice",
                "can be 'auto' or 'none' here: this server cannot force the model to call a tool",
                ErrorCode::kUnsupported);
    return true;
  }
  const auto text = reader.string("tool_choice");
  if (text && *text != "auto" && *text != "none")
    reader.fail("tool_choice", fmt::format("is '{}'; it takes 'auto' or 'none'", *text));
  return text != "none";
}

void check_response_format(FieldReader& reader) {
  const json::object* format = reader.object("response_format");
  if (!format) return;
  FieldReader format_reader(*format, reader.path_of("response_format"));
  const auto type = format_reader.string("type");
  if (type && *type != "text") {
    format_reader.fail("type", fmt::format("is '{}'; this server answers in 'text' only", *type),
                       ErrorCode::kUnsupported);
  } else if (!type) {
    format_reader.fail("type", "is missing; it takes 'text'");
  }
  reader.adopt(format_reader);
}

void read_template_variables(FieldReader& reader, json::object& context) {
  if (const auto effort = reader.string("reasoning_effort")) context["reasoning_effort"] = *effort;
  const json::object* variables = reader.object("chat_template_kwargs");
  if (!variables) return;
  for (const auto& variable : *variables) {
    if (std::ranges::find(kReservedVariables, std::string_view(variable.key())) != kReservedVariables.end()) {
      reader.fail("chat_template_kwargs",
                  fmt::format("has '{}', which the request itself sets", std::string_view(variable.key())));
    }
    context[variable.key()] = variable.value();
  }
}

}  // namespace

Result<ChatRequest> parse_chat_request(const json::object& body, const DefaultsConfig& defaults) {
  FieldReader reader(body);
  ChatRequest request;
  request.answer = read_answer_request(reader, defaults);
  const bool logprobs = reader.boolean("logprobs").value_or(false);
  const auto top_logprobs = reader.integer("top_logprobs", 0, kMaxTopLogprobs);
  if (top_logprobs && !logprobs) reader.fail("top_logprobs", "needs 'logprobs': true");
  if (logprobs) request.answer.sampling.n_logprobs = static_cast<int32_t>(top_logprobs.value_or(0));
  check_response_format(reader);
  reader.boolean("parallel_tool_calls");
  request.tools = read_tools(reader);
  if (!read_tool_choice(reader)) request.tools.clear();
  // As Hugging Face calls templates: absent tools are None, not undefined.
  request.context["tools"] = request.tools.empty() ? json::value(nullptr) : json::value(request.tools);
  request.context["documents"] = nullptr;
  request.context["add_generation_prompt"] = true;
  read_template_variables(reader, request.context);
  request.context["messages"] = read_messages(reader);
  if (reader.failed()) return reader.error();
  return request;
}

}  // namespace halod
