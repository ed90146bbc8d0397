// The API: one file per route, one line per route in add_routes.
#pragma once

#include "daemon/control/engine_supervisor.h"
#include "daemon/control/metrics.h"
#include "daemon/control/worker_pool.h"
#include "daemon/http/prepare_answer.h"
#include "daemon/http/router.h"

namespace halod {

/// What routes work with. Everything outlives the router.
struct Api {
  EngineSupervisor& supervisor;
  WorkerPool& workers;
  Metrics& metrics;
  const ServedModel& model;
};

/// Fills `router` with every route of halod. `api` is copied into the handlers.
void add_routes(Router& router, const Api& api);

boost::asio::awaitable<void> get_health(const Api& api, Exchange& exchange);
boost::asio::awaitable<void> get_metrics(const Api& api, Exchange& exchange);
boost::asio::awaitable<void> get_models(const Api& api, Exchange& exchange);
boost::asio::awaitable<void> get_version(const Api& api, Exchange& exchange);
boost::asio::awaitable<void> post_chat_completions(const Api& api, Exchange& exchange);
boost::asio::awaitable<void> post_completions(const Api& api, Exchange& exchange);

}  // namespace halod
