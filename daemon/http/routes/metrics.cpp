#include "daemon/http/routes/routes.h"

namespace halod {

boost::asio::awaitable<void> get_metrics(const Api& api, Exchange& exchange) {
  Response response{.content_type = "text/plain; version=0.0.4; charset=utf-8",
                    .body = api.metrics.serialize()};
  co_await exchange.respond(std::move(response));
}

}  // namespace halod
