#include <boost/json/object.hpp>

#include "daemon/http/routes/routes.h"

namespace halod {

boost::asio::awaitable<void> get_version(const Api& api, Exchange& exchange) {
  boost::json::object body;
  body["name"] = "halod";
  body["version"] = HALOD_VERSION;
  if (const Model* model = api.models.active_model(); model && model->loaded) {
    body["backend"] = model->loaded->backend;
    body["device"] = model->loaded->device;
  }
  co_await exchange.respond(json_response(body));
}

}  // namespace halod
