#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "daemon/http/routes/routes.h"

namespace halod {

namespace json = boost::json;

/// OpenAI's list, with what clients of llama.cpp and vLLM look for besides.
boost::asio::awaitable<void> get_models(const Api& api, Exchange& exchange) {
  json::object entry;
  entry["id"] = api.model.name;
  entry["object"] = "model";
  entry["created"] = api.model.created;
  entry["owned_by"] = "halod";
  if (const wire::ModelLoaded* model = api.supervisor.model()) {
    entry["max_model_len"] = model->context_length;
    entry["architecture"] = model->architecture;
  }
  json::object body;
  body["object"] = "list";
  body["data"] = json::array{std::move(entry)};
  co_await exchange.respond(json_response(body));
}

}  // namespace halod
