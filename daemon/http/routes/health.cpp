#include <boost/json/object.hpp>

#include "daemon/http/routes/routes.h"

namespace halod {

namespace json = boost::json;

/// 200 only when a request would be taken now; else 503 with what is missing.
boost::asio::awaitable<void> get_health(const Api& api, Exchange& exchange) {
  const Readiness& readiness = api.models.readiness();
  json::object body;
  body["status"] = readiness.ready() ? "ok" : to_string(readiness.state);
  if (!readiness.ready()) body["reason"] = readiness.reason;
  if (readiness.state == ServiceState::kLoading) body["percent"] = readiness.percent;
  const Model* model = api.models.active_model();
  body["model"] = model ? json::value(model->spec.name) : json::value(nullptr);
  body["requests"] = api.models.n_unfinished();
  body["tokens_per_second"] = api.models.tokens_per_second();
  Response response = json_response(body);
  if (!readiness.ready()) {
    response.status = boost::beast::http::status::service_unavailable;
    response.headers.emplace_back("Retry-After", "1");
  }
  co_await exchange.respond(std::move(response));
}

}  // namespace halod
