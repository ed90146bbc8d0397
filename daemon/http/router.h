// Which function answers which path.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/beast/http/verb.hpp>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/http/exchange.h"
#include "daemon/http/response.h"

namespace halod {

using RouteHandler = std::function<boost::asio::awaitable<void>(Exchange&)>;

enum class Access : uint8_t {
  kOpen,
  kApiKey,    ///< when the configuration has http.api_keys
  kAdminKey,  ///< always
};

struct Route {
  boost::beast::http::verb method;
  std::string_view
      path;  ///< exact, or up to and with a last '/', what follows being the route's; lives for ever
  Access access = Access::kApiKey;
  RouteHandler handle;
};

/// Filled once at the start. Thread: the io thread.
class Router {
 public:
  void add(Route route) { routes_.push_back(std::move(route)); }
  /// nullptr when no route has this method and path; HEAD finds GET.
  const Route* find(boost::beast::http::verb method, std::string_view path) const;
  /// The answer where find() gave nothing: 404, 405 with Allow, or to OPTIONS what is allowed.
  Response refusal(boost::beast::http::verb method, std::string_view path) const;

 private:
  std::vector<Route> routes_;
};

}  // namespace halod
