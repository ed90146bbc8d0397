#include <boost/json/object.hpp>

#include "daemon/http/routes/routes.h"

namespace halod {

namespace json = boost::json;

/// 200 only when a request would be taken now; else 503 with what is missing.
boost::asio::awaitable<void> get_health(const Api& api, Exchange& exchange) {
  const Readiness& readiness = api.supervisor.readiness();
  json::object body;
  body["status"] = readiness.ready() ? "ok" : to_string(readiness.state);
  if (!readiness.ready()) body["reason"] = readiness.reason;
  if (readiness.state == EngineState::kLoading) body["percent"] = readiness.percent;
  body["model"] = api.model.name;
  body["requests"] = api.supervisor.n_unfinished();
  Response response = json_response(body);
  if (!readiness.ready()) {
    response.status = boost::beast::http::status::service_unavailable;
    response.headers.emplace_back("Retry-After", "1");
  }
  co_await exchange.respond(std::move(response));
}

}  // namespace halod
