// The API: one file per route, one line per route in add_routes.
#pragma once

#include "daemon/control/machine_status.h"
#include "daemon/control/metrics.h"
#include "daemon/control/model_manager.h"
#include "daemon/control/service_control.h"
#include "daemon/control/worker_pool.h"
#include "daemon/http/prepare_answer.h"
#include "daemon/http/router.h"

namespace halod {

/// What routes work with. Everything outlives the router.
struct Api {
  ModelManager& models;
  WorkerPool& workers;
  Metrics& metrics;
  ServiceControl& service;
  MachineStatus& machine;
  const Config& config;
};

/// Fills `router` with every route of halod. `api` is copied into the handlers.
void add_routes(Router& router, const Api& api);

boost::asio::awaitable<void> get_health(const Api& api, Exchange& exchange);
boost::asio::awaitable<void> get_metrics(const Api& api, Exchange& exchange);
boost::asio::awaitable<void> get_models(const Api& api, Exchange& exchange);
boost::asio::awaitable<void> get_version(const Api& api, Exchange& exchange);
boost::asio::awaitable<void> post_chat_completions(const Api& api, Exchange& exchange);
boost::asio::awaitable<void> post_completions(const Api& api, Exchange& exchange);

// Reachable only while the configuration has http.admin_keys.
boost::asio::awaitable<void> get_admin_models(const Api& api, Exchange& exchange);
boost::asio::awaitable<void> post_admin_load(const Api& api, Exchange& exchange);
boost::asio::awaitable<void> post_admin_unload(const Api& api, Exchange& exchange);
boost::asio::awaitable<void> post_admin_swap(const Api& api, Exchange& exchange);
boost::asio::awaitable<void> post_admin_rescan(const Api& api, Exchange& exchange);
boost::asio::awaitable<void> get_admin_jobs(const Api& api, Exchange& exchange);
boost::asio::awaitable<void> get_admin_job(const Api& api, Exchange& exchange);
boost::asio::awaitable<void> delete_admin_job(const Api& api, Exchange& exchange);
boost::asio::awaitable<void> post_admin_reload(const Api& api, Exchange& exchange);
boost::asio::awaitable<void> put_admin_log_level(const Api& api, Exchange& exchange);
boost::asio::awaitable<void> get_admin_machine(const Api& api, Exchange& exchange);
boost::asio::awaitable<void> get_admin_tuning(const Api& api, Exchange& exchange);

}  // namespace halod
