// Errors as OpenAI's clients expect them: {"error": {"message", "type", "param", "code"}}.
#pragma once

#include <boost/beast/http/status.hpp>
#include <boost/json/object.hpp>
#include <string>
#include <string_view>

#include "base/error.h"
#include "daemon/http/response.h"

namespace halod {

/// One row per ErrorCode. Thread: any.
struct ErrorMapping {
  ErrorCode code;
  boost::beast::http::status status;
  std::string_view type;         ///< OpenAI's class of error
  std::string_view openai_code;  ///< OpenAI's name of it
};
const ErrorMapping& error_mapping(ErrorCode code);

/// The body alone: also what a stream carries when it fails after its head was sent.
boost::json::object error_body(const Error& error);
/// With status, and Retry-After where trying again helps.
Response error_response(const Error& error);

/// For what HTTP itself finds wrong and no ErrorCode stands for (401, 405, 413, …).
Response status_response(boost::beast::http::status status, std::string_view message, std::string_view code);

}  // namespace halod
