#include "daemon/http/router.h"

#include <fmt/format.h>

#include <algorithm>

#include "daemon/http/error_response.h"

namespace halod {

namespace http = boost::beast::http;

namespace {

std::string_view name_of(http::verb method) {
  const auto name = http::to_string(method);
  return {name.data(), name.size()};
}

bool matches(const Route& route, std::string_view path) {
  if (!route.path.ends_with('/')) return route.path == path;
  return path.starts_with(route.path) && path.size() > route.path.size();
}

}  // namespace

const Route* Router::find(http::verb method, std::string_view path) const {
  const http::verb wanted = method == http::verb::head ? http::verb::get : method;
  const auto found = std::ranges::find_if(
      routes_, [&](const Route& route) { return route.method == wanted && matches(route, path); });
  return found == routes_.end() ? nullptr : &*found;
}

Response Router::refusal(http::verb method, std::string_view path) const {
  std::string allow;
  for (const Route& route : routes_) {
    if (!matches(route, path)) continue;
    allow += fmt::format("{}{}", name_of(route.method), route.method == http::verb::get ? ", HEAD, " : ", ");
  }
  if (allow.empty()) {
    return status_response(http::status::not_found, fmt::format("there is nothing at {}", path), "not_found");
  }
  allow += "OPTIONS";
  Response response;
  if (method == http::verb::options) {
    response = {.status = http::status::no_content, .content_type = ""};
    response.headers = {{"Access-Control-Allow-Methods", allow},
                        {"Access-Control-Allow-Headers", "Authorization, Content-Type, X-Request-Id"},
                        {"Access-Control-Max-Age", "86400"}};
  } else {
    response = status_response(http::status::method_not_allowed,
                               fmt::format("{} does not take this method; it takes {}", path, allow),
                               "method_not_allowed");
  }
  response.headers.emplace_back("Allow", allow);
  return response;
}

}  // namespace halod
