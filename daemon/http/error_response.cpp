#include "daemon/http/error_response.h"

#include <algorithm>
#include <array>
#include <boost/json/serialize.hpp>

namespace halod {
namespace {

namespace json = boost::json;
using boost::beast::http::status;

constexpr std::string_view kInvalidRequest = "invalid_request_error";
constexpr std::string_view kServerError = "server_error";

constexpr std::array kMappings{
    ErrorMapping{ErrorCode::kInvalidArgument, status::bad_request, kInvalidRequest, "invalid_value"},
    ErrorMapping{ErrorCode::kNotFound, status::not_found, kInvalidRequest, "model_not_found"},
    ErrorMapping{ErrorCode::kCorruptFile, status::internal_server_error, kServerError, "corrupt_file"},
    ErrorMapping{ErrorCode::kUnsupported, status::bad_request, kInvalidRequest, "unsupported_value"},
    ErrorMapping{ErrorCode::kContextOverflow, status::bad_request, kInvalidRequest,
                 "context_length_exceeded"},
    ErrorMapping{ErrorCode::kQueueFull, status::too_many_requests, "rate_limit_error", "queue_full"},
    ErrorMapping{ErrorCode::kOutOfMemory, status::service_unavailable, kServerError, "out_of_memory"},
    ErrorMapping{ErrorCode::kUnavailable, status::service_unavailable, kServerError, "unavailable"},
    ErrorMapping{ErrorCode::kCancelled, status::service_unavailable, kServerError, "cancelled"},
    ErrorMapping{ErrorCode::kIo, status::internal_server_error, kServerError, "io_error"},
    ErrorMapping{ErrorCode::kInternal, status::internal_server_error, kServerError, "internal_error"},
};

json::object make_body(std::string_view message, std::string_view type, std::string_view field,
                       std::string_view code) {
  json::object error;
  error["message"] = message;
  error["type"] = type;
  error["param"] = field.empty() ? json::value(nullptr) : json::value(field);
  error["code"] = code;
  return {{"error", std::move(error)}};
}

bool retry_helps(status code) {
  return code == status::too_many_requests || code == status::service_unavailable;
}

}  // namespace

const ErrorMapping& error_mapping(ErrorCode code) {
  const auto found = std::ranges::find(kMappings, code, &ErrorMapping::code);
  HALOD_ASSERT(found != kMappings.end());
  return *found;
}

json::object error_body(const Error& error) {
  const ErrorMapping& mapping = error_mapping(error.code);
  return make_body(error.message, mapping.type, error.field, mapping.openai_code);
}

Response error_response(const Error& error) {
  Response response = json_response(error_body(error));
  response.status = error_mapping(error.code).status;
  // One second: restarts take about that long, and a queue moves with every answer.
  if (retry_helps(response.status)) response.headers.emplace_back("Retry-After", "1");
  return response;
}

Response status_response(status code, std::string_view message, std::string_view name) {
  const std::string_view type = to_status_class(code) == boost::beast::http::status_class::server_error
                                    ? kServerError
                                    : kInvalidRequest;
  Response response = json_response(make_body(message, type, "", name));
  response.status = code;
  return response;
}

Response json_response(const json::value& body) { return {.body = json::serialize(body) + "\n"}; }

}  // namespace halod
