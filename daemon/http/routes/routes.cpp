#include "daemon/http/routes/routes.h"

namespace halod {

namespace asio = boost::asio;
using boost::beast::http::verb;

namespace {

using RouteFunction = asio::awaitable<void> (*)(const Api&, Exchange&);

struct RouteRow {
  verb method;
  std::string_view path;
  Access access;
  RouteFunction handle;
};

// Health and version are open: load balancers and service managers have no key.
constexpr RouteRow kRoutes[] = {
    {verb::post, "/v1/chat/completions", Access::kApiKey, post_chat_completions},
    {verb::post, "/v1/completions", Access::kApiKey, post_completions},
    {verb::get, "/v1/models", Access::kApiKey, get_models},
    {verb::get, "/health", Access::kOpen, get_health},
    {verb::get, "/metrics", Access::kApiKey, get_metrics},
    {verb::get, "/version", Access::kOpen, get_version},
    {verb::get, "/v1/admin/models", Access::kAdminKey, get_admin_models},
    {verb::post, "/v1/admin/models/load", Access::kAdminKey, post_admin_load},
    {verb::post, "/v1/admin/models/unload", Access::kAdminKey, post_admin_unload},
    {verb::post, "/v1/admin/models/swap", Access::kAdminKey, post_admin_swap},
    {verb::post, "/v1/admin/models/rescan", Access::kAdminKey, post_admin_rescan},
    {verb::get, "/v1/admin/jobs", Access::kAdminKey, get_admin_jobs},
    {verb::get, "/v1/admin/jobs/", Access::kAdminKey, get_admin_job},
    {verb::delete_, "/v1/admin/jobs/", Access::kAdminKey, delete_admin_job},
    {verb::post, "/v1/admin/reload", Access::kAdminKey, post_admin_reload},
    {verb::put, "/v1/admin/log-level", Access::kAdminKey, put_admin_log_level},
    {verb::get, "/v1/admin/machine", Access::kAdminKey, get_admin_machine},
    {verb::get, "/v1/admin/tuning", Access::kAdminKey, get_admin_tuning},
};

}  // namespace

void add_routes(Router& router, const Api& api) {
  for (const RouteRow& row : kRoutes) {
    router.add({.method = row.method,
                .path = row.path,
                .access = row.access,
                .handle = [api, handle = row.handle](Exchange& exchange) { return handle(api, exchange); }});
  }
}

}  // namespace halod
