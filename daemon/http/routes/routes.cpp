#include "daemon/http/routes/routes.h"

namespace halod {

namespace asio = boost::asio;
using boost::beast::http::verb;

namespace {

using RouteFunction = asio::awaitable<void> (*)(const Api&, Exchange&);

struct RouteRow {
  verb method;
  std::string_view path;
  bool needs_api_key;
  RouteFunction handle;
};

// Health and version are open: load balancers and service managers have no key.
constexpr RouteRow kRoutes[] = {
    {verb::post, "/v1/chat/completions", true, post_chat_completions},
    {verb::post, "/v1/completions", true, post_completions},
    {verb::get, "/v1/models", true, get_models},
    {verb::get, "/health", false, get_health},
    {verb::get, "/metrics", true, get_metrics},
    {verb::get, "/version", false, get_version},
};

}  // namespace

void add_routes(Router& router, const Api& api) {
  for (const RouteRow& row : kRoutes) {
    router.add({.method = row.method,
                .path = row.path,
                .needs_api_key = row.needs_api_key,
                .handle = [api, handle = row.handle](Exchange& exchange) { return handle(api, exchange); }});
  }
}

}  // namespace halod
