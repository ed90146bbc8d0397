// The ways in which models write a tool call.
#pragma once

#include <boost/json/array.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/text/output_parser.h"

namespace halod {

enum class ToolCallOutcome {
  kComplete,
  kIncomplete,  ///< more text could make it a call
  kMalformed,   ///< no further text could
};

struct ParsedToolCall {
  ToolCallOutcome outcome = ToolCallOutcome::kMalformed;
  ToolCall call = {};
};

/// `{"name": "f", "arguments": {…}}` with white space around it. The arguments are kept byte for byte;
/// missing ones become "{}", and JSON text inside a JSON string is unpacked. Thread: any.
ParsedToolCall parse_json_tool_call(std::string_view text);

/// `<function=f><parameter=a>value</parameter></function>` with white space between the tags; the closing
/// function tag may be missing. One line break on each side of a value is not part of it. A value is text
/// unless `tools` gives its parameter another type and it is JSON. Thread: any.
ParsedToolCall parse_xml_tool_call(std::string_view text, const boost::json::array& tools);

/// `f<arg_key>a</arg_key><arg_value>value</arg_value>` with white space between (GLM-4.5). The name must be
/// one of `tools`, or text that merely stands between the tags would be a call. Values as above. Thread: any.
ParsedToolCall parse_keyed_tool_call(std::string_view text, const boost::json::array& tools);

/// `{…}` with white space around it: the arguments of a call whose name is known otherwise, byte for byte.
/// Nothing written is "{}"; nothing is returned for what is no JSON object. Thread: any.
std::optional<std::string> parse_tool_arguments(std::string_view text);

}  // namespace halod
