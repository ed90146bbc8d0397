#include "runtime/text/tool_call_text.h"

#include <algorithm>
#include <boost/json.hpp>
#include <optional>

namespace halod {
namespace {

namespace json = boost::json;

constexpr std::string_view kSpace = " \t\r\n";
constexpr std::string_view kFunctionOpen = "<function=";
constexpr std::string_view kFunctionClose = "</function>";
constexpr std::string_view kParameterOpen = "<parameter=";
constexpr std::string_view kParameterClose = "</parameter>";
constexpr std::string_view kKeyOpen = "<arg_key>", kKeyClose = "</arg_key>";
constexpr std::string_view kValueOpen = "<arg_value>", kValueClose = "</arg_value>";

std::string_view trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

json::parse_options deep_enough() {
  json::parse_options options;
  options.max_depth = 64;
  return options;
}

bool is_json(std::string_view text) {
  boost::system::error_code error;
  json::parse(text, error, {}, deep_enough());
  return !error;
}

/// Walks over JSON that is known to be valid.
class JsonScanner {
 public:
  explicit JsonScanner(std::string_view text) : rest_(text) {}

  /// The source text of the object's member; nothing when there is none of that name.
  std::optional<std::string_view> member(std::string_view name) {
    take_space();
    rest_.remove_prefix(1);  // '{'
    take_space();
    while (rest_.front() != '}') {
      const std::string_view key = take_value();
      take_space();
      rest_.remove_prefix(1);  // ':'
      take_space();
      const std::string_view value = take_value();
      if (json::parse(key).as_string() == name) return value;
      take_space();
      if (rest_.front() == ',') rest_.remove_prefix(1);
      take_space();
    }
    return std::nullopt;
  }

 private:
  void take_space() { rest_.remove_prefix(std::min(rest_.find_first_not_of(kSpace), rest_.size())); }

  std::string_view take_value() {
    size_t n = 0;
    int depth = 0;
    do {
      const char c = rest_[n];
      if (c == '"') {
        n = string_end(n);
        continue;
      }
      if (depth == 0 && c != '{' && c != '[') {
        n = std::min(rest_.find_first_of(", \t\r\n}]:", n), rest_.size());  // a number or a word
        break;
      }
      if (c == '{' || c == '[') ++depth;
      if (c == '}' || c == ']') --depth;
      ++n;
    } while (depth > 0);
    const std::string_view value = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return value;
  }

  size_t string_end(size_t begin) const {
    size_t i = begin + 1;
    while (rest_[i] != '"') i += rest_[i] == '\\' ? 2 : 1;
    return i + 1;
  }

  std::string_view rest_;
};

ToolCallOutcome check_json(std::string_view text, json::value& value) {
  json::stream_parser parser({}, deep_enough());
  boost::system::error_code error;
  parser.write(text.data(), text.size(), error);
  if (error) return ToolCallOutcome::kMalformed;
  parser.finish(error);
  if (error) return ToolCallOutcome::kIncomplete;
  value = parser.release();
  return value.is_object() ? ToolCallOutcome::kComplete : ToolCallOutcome::kMalformed;
}

/// nullptr when there is none of that name.
const json::value* find_tool(const json::array& tools, std::string_view function) {
  for (const json::value& tool : tools) {
    boost::system::error_code error;
    const json::value* name = tool.find_pointer("/function/name", error);
    if (name != nullptr && name->is_string() && name->get_string() == function) return &tool;
  }
  return nullptr;
}

/// The schema of a function's parameter; nullptr when `tools` does not tell.
const json::value* find_schema(const json::array& tools, std::string_view function,
                               std::string_view parameter) {
  const json::value* tool = find_tool(tools, function);
  if (tool == nullptr) return nullptr;
  boost::system::error_code error;
  const json::value* properties = tool->find_pointer("/function/parameters/properties", error);
  return properties != nullptr && properties->is_object() ? properties->get_object().if_contains(parameter)
                                                          : nullptr;
}

bool is_text_parameter(const json::value* schema) {
  if (schema == nullptr || !schema->is_object()) return true;
  const json::value* type = schema->get_object().if_contains("type");
  return type != nullptr && type->is_string() && type->get_string() == "string";
}

std::string argument_json(std::string_view value, const json::value* schema) {
  if (!is_text_parameter(schema)) {
    const std::string_view trimmed = trim(value);
    if (trimmed == "True") return "true";
    if (trimmed == "False") return "false";
    if (trimmed == "None") return "null";
    if (is_json(trimmed)) return std::string(trimmed);
  }
  return json::serialize(json::string(value));
}

std::string_view without_line_breaks(std::string_view value) {
  if (value.starts_with('\n')) value.remove_prefix(1);
  if (value.ends_with('\n')) value.remove_suffix(1);
  return value;
}

/// What stands between the two tags at the beginning of `text`, which moves behind them.
std::optional<std::string_view> take_between(std::string_view& text, std::string_view open,
                                             std::string_view close) {
  const size_t end = text.find(close);
  if (!text.starts_with(open) || end == std::string_view::npos) return std::nullopt;
  const std::string_view between = text.substr(open.size(), end - open.size());
  text.remove_prefix(end + close.size());
  return between;
}

/// "<tag=name>" at the beginning of `text`: the name, and `text` moves behind it.
std::optional<std::string_view> take_named_tag(std::string_view& text, std::string_view open) {
  const size_t end = text.find('>');
  if (!text.starts_with(open) || end == std::string_view::npos || end == open.size()) return std::nullopt;
  const std::string_view name = text.substr(open.size(), end - open.size());
  text.remove_prefix(end + 1);
  return trim(name);
}

}  // namespace

ParsedToolCall parse_json_tool_call(std::string_view text) {
  text = trim(text);
  json::value value;
  const ToolCallOutcome outcome = check_json(text, value);
  if (outcome != ToolCallOutcome::kComplete) return {outcome};
  const json::value* name = value.get_object().if_contains("name");
  if (name == nullptr || !name->is_string() || name->get_string().empty())
    return {ToolCallOutcome::kMalformed};
  ToolCall call{.name = std::string(name->get_string()), .arguments = "{}"};
  auto arguments = JsonScanner(text).member("arguments");
  if (!arguments) arguments = JsonScanner(text).member("parameters");
  if (arguments) call.arguments = *arguments;
  if (call.arguments.starts_with('"')) {
    const json::value inner = json::parse(call.arguments);
    if (is_json(inner.get_string())) call.arguments = std::string(inner.get_string());
  }
  return {ToolCallOutcome::kComplete, std::move(call)};
}

ParsedToolCall parse_xml_tool_call(std::string_view text, const json::array& tools) {
  text = trim(text);
  const auto name = take_named_tag(text, kFunctionOpen);
  if (!name || name->empty()) return {ToolCallOutcome::kMalformed};
  std::string arguments = "{";
  for (text = trim(text); text.starts_with(kParameterOpen); text = trim(text)) {
    const auto parameter = take_named_tag(text, kParameterOpen);
    if (!parameter) return {ToolCallOutcome::kIncomplete};
    const size_t end = text.find(kParameterClose);
    if (end == std::string_view::npos) return {ToolCallOutcome::kIncomplete};
    const std::string_view value = without_line_breaks(text.substr(0, end));
    text.remove_prefix(end + kParameterClose.size());
    if (arguments.size() > 1) arguments += ", ";
    arguments += json::serialize(json::string(*parameter)) + ": ";
    arguments += argument_json(value, find_schema(tools, *name, *parameter));
  }
  if (!text.empty() && text != kFunctionClose) return {ToolCallOutcome::kMalformed};
  return {ToolCallOutcome::kComplete, {.name = std::string(*name), .arguments = arguments + "}"}};
}

ParsedToolCall parse_keyed_tool_call(std::string_view text, const json::array& tools) {
  text = trim(text);
  const std::string_view name = trim(text.substr(0, text.find(kKeyOpen)));
  if (find_tool(tools, name) == nullptr) return {ToolCallOutcome::kMalformed};
  text.remove_prefix(std::min(text.find(kKeyOpen), text.size()));
  std::string arguments = "{";
  for (; !text.empty(); text = trim(text)) {
    if (!text.starts_with(kKeyOpen)) return {ToolCallOutcome::kMalformed};
    const auto key = take_between(text, kKeyOpen, kKeyClose);
    text = trim(text);
    const auto value = take_between(text, kValueOpen, kValueClose);
    if (!key || !value) return {ToolCallOutcome::kIncomplete};
    if (arguments.size() > 1) arguments += ", ";
    arguments += json::serialize(json::string(trim(*key))) + ": ";
    arguments += argument_json(*value, find_schema(tools, name, trim(*key)));
  }
  return {ToolCallOutcome::kComplete, {.name = std::string(name), .arguments = arguments + "}"}};
}

std::optional<std::string> parse_tool_arguments(std::string_view text) {
  text = trim(text);
  if (text.empty()) return "{}";
  json::value value;
  if (check_json(text, value) != ToolCallOutcome::kComplete) return std::nullopt;
  return std::string(text);
}

}  // namespace halod
