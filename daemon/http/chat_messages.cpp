// The messages of a chat, checked and put into the form that chat templates expect.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json/parse.hpp>

#include "daemon/http/json_body.h"
#include "daemon/http/openai_request.h"

namespace halod {
namespace {

namespace json = boost::json;

constexpr std::array<std::string_view, 5> kRoles{"system", "developer", "user", "assistant", "tool"};

/// Text parts joined by newlines; anything else in the array is told with its place.
std::string read_content_parts(const json::array& parts, FieldReader& reader) {
  std::string text;
  for (size_t i = 0; i < parts.size() && !reader.failed(); ++i) {
    const std::string at = fmt::format("content[{}]", i);
    const json::object* part = parts[i].if_object();
    if (!part) {
      reader.fail(at, fmt::format("is {}; it takes an object with 'type' and 'text'", kind_name(parts[i])));
      return text;
    }
    FieldReader part_reader(*part, reader.path_of(at));
    const auto type = part_reader.string("type");
    if (!part_reader.failed() && type != "text") {
      part_reader.fail("type",
                       type ? fmt::format("is '{}'; this server takes 'text' parts only", *type)
                            : "is missing; it takes 'text'",
                       type ? ErrorCode::kUnsupported : ErrorCode::kInvalidArgument);
    }
    const auto part_text = part_reader.string("text");
    if (!part_reader.failed() && !part_text) part_reader.fail("text", "is missing; it takes a string");
    reader.adopt(part_reader);
    if (reader.failed()) return text;
    if (i > 0) text += '\n';
    text += *part_text;
  }
  return text;
}

/// Arguments come as JSON text; templates print them as objects. Text that is not an object stays as it is.
void read_tool_call(const json::value& value, const std::string& at, FieldReader& reader,
                    json::array& calls) {
  const json::object* call = value.if_object();
  if (!call) return reader.fail(at, fmt::format("is {}; it takes an object", kind_name(value)));
  FieldReader call_reader(*call, reader.path_of(at));
  const json::object* function = call_reader.object("function");
  if (!function && !call_reader.failed())
    call_reader.fail("function", "is missing; it takes an object with 'name' and 'arguments'");
  if (call_reader.failed()) return reader.adopt(call_reader);
  FieldReader function_reader(*function, call_reader.path_of("function"));
  if (!function_reader.string("name")) function_reader.fail("name", "is missing; it takes a string");
  json::object copy = *call;
  if (const json::value* arguments = function_reader.find("arguments"); arguments && arguments->is_string()) {
    const std::string_view text = arguments->get_string();
    if (Result<json::object> parsed = parse_json_body(text.empty() ? "{}" : text)) {
      copy["function"].get_object()["arguments"] = std::move(*parsed);
    }
  } else if (arguments && !arguments->is_object()) {
    function_reader.fail("arguments",
                         fmt::format("is {}; it takes a string with JSON", kind_name(*arguments)));
  }
  if (function_reader.failed()) return reader.adopt(function_reader);
  calls.emplace_back(std::move(copy));
}

json::object read_message(const json::object& message, FieldReader& reader) {
  json::object result = message;
  const auto role = reader.string("role");
  if (!role || std::ranges::find(kRoles, *role) == kRoles.end()) {
    reader.fail("role", role ? fmt::format("is '{}'; it takes one of {}", *role, fmt::join(kRoles, ", "))
                             : fmt::format("is missing; it takes one of {}", fmt::join(kRoles, ", ")));
    return result;
  }
  // OpenAI's newer name; templates know the older one.
  if (*role == "developer") result["role"] = "system";
  const json::value* content = reader.find("content");
  if (!content) {
    if (*role != "assistant")
      reader.fail("content", "is missing; it takes a string or an array of text parts");
    result["content"] = "";
  } else if (const json::array* parts = content->if_array()) {
    result["content"] = read_content_parts(*parts, reader);
  } else if (!content->is_string()) {
    reader.fail("content",
                fmt::format("is {}; it takes a string or an array of text parts", kind_name(*content)));
  }
  reader.string("name");
  reader.string("tool_call_id");
  reader.string("reasoning_content");
  result.erase("tool_calls");
  if (const json::array* calls = reader.array("tool_calls"); calls && !calls->empty()) {
    json::array converted;
    for (size_t i = 0; i < calls->size(); ++i)
      read_tool_call((*calls)[i], fmt::format("tool_calls[{}]", i), reader, converted);
    result["tool_calls"] = std::move(converted);
  }
  return result;
}

}  // namespace

json::array read_messages(FieldReader& reader) {
  json::array result;
  const json::array* messages = reader.array("messages");
  if (!messages || messages->empty()) {
    reader.fail("messages", messages ? "is empty; it takes at least one message"
                                     : "is missing; it takes an array of messages");
    return result;
  }
  for (size_t i = 0; i < messages->size() && !reader.failed(); ++i) {
    const std::string at = fmt::format("messages[{}]", i);
    const json::object* message = (*messages)[i].if_object();
    if (!message) {
      reader.fail(
          at, fmt::format("is {}; it takes an object with 'role' and 'content'", kind_name((*messages)[i])));
      break;
    }
    FieldReader message_reader(*message, reader.path_of(at));
    result.emplace_back(read_message(*message, message_reader));
    reader.adopt(message_reader);
  }
  return result;
}

}  // namespace halod
