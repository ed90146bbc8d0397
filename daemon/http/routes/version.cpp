#include <boost/json/object.hpp>

#include "daemon/http/routes/routes.h"

namespace halod {

boost::asio::awaitable<void> get_version(const Api& api, Exchange& exchange) {
  boost::json::object body;
  body["name"] = "halod";
  body["version"] = HALOD_VERSION;
  if (const wire::ModelLoaded* model = api.supervisor.model()) {
    body["backend"] = model->backend;
    body["device"] = model->device;
  }
  co_await exchange.respond(json_response(body));
}

}  // namespace halod
