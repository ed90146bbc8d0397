#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "daemon/http/routes/routes.h"

namespace halod {

namespace json = boost::json;

namespace {

json::object entry_of(const Model& model) {
  json::object entry{{"id", model.spec.name},
                     {"object", "model"},
                     {"created", model.served ? model.served->created : 0},
                     {"owned_by", "halod"},
                     {"state", to_string(model.state)}};
  if (model.loaded) {
    entry["max_model_len"] = model.loaded->context_length;
    entry["architecture"] = model.loaded->architecture;
  } else if (model.info) {
    entry["architecture"] = model.info->architecture;
  }
  return entry;
}

}  // namespace

/// OpenAI's list, with what clients of llama.cpp and vLLM look for besides: every model that a request may
/// name. The active one comes first, because many clients take the first.
boost::asio::awaitable<void> get_models(const Api& api, Exchange& exchange) {
  json::array data;
  const Model* active = api.models.active_model();
  for (const auto& model : api.models.models()) {
    const bool can_be_asked = api.config.models.load_on_request || model->state == ModelState::kLoaded;
    if (model.get() == active) {
      data.insert(data.begin(), entry_of(*model));
    } else if (can_be_asked) {
      data.push_back(entry_of(*model));
    }
  }
  json::object body;
  body["object"] = "list";
  body["data"] = std::move(data);
  co_await exchange.respond(json_response(body));
}

}  // namespace halod
