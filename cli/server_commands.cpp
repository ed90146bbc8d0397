// What the server is and how it is: status, health, models, metrics, top.
#include <fmt/format.h>
#include <unistd.h>

#include <boost/json/serialize.hpp>
#include <chrono>
#include <cstdio>
#include <thread>

#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/http_control.h"
#include "cli/json_fields.h"
#include "cli/server_view.h"
#include "cli/terminal.h"

namespace halod::cli {

namespace json = boost::json;

int report_failure(const Failure& failure) {
  fmt::print(stderr, "haloctl: {}\n", failure.message);
  return failure.status;
}

int run_health(ControlClient& client, bool as_json) {
  const auto health = client.health();
  if (!health) return report_failure(health.error());
  if (as_json) {
    fmt::print("{}\n", json::serialize(*health));
  } else {
    const std::string reason = text_of(*health, "reason");
    fmt::print("{}{}{}\n", text_of(*health, "status"), reason.empty() ? "" : ": ", reason);
  }
  return is_ready(*health) ? kSuccess : kNotReady;
}

int run_status(ControlClient& client, bool as_json) {
  const auto view = look_at_server(client);
  if (!view) return report_failure(view.error());
  if (as_json) {
    fmt::print("{}\n", json::serialize(view_json(*view)));
  } else {
    fmt::print("{}", format_status(*view));
  }
  return is_ready(view->health) ? kSuccess : kNotReady;
}

int run_models(ControlClient& client, bool as_json, bool names_only) {
  const auto list = client.models();
  if (!list) return report_failure(list.error());
  if (names_only) {
    for (const json::value& model : list->models)
      fmt::print("{}\n", text_of(model, list->has_admin ? "name" : "id"));
  } else if (as_json) {
    json::object body;
    body["models"] = list->models;
    fmt::print("{}\n", json::serialize(body));
  } else {
    fmt::print("{}", format_models(list->models, list->has_admin));
  }
  return kSuccess;
}

int run_metrics(const ApiClient& client) {
  const auto reply = client.get("/metrics");
  if (!reply) return report_failure(failure_of(reply.error()));
  if (!reply->ok()) return report_failure(refusal_of(*reply));
  fmt::print("{}", reply->body);
  return kSuccess;
}

int run_top(ControlClient& client, bool as_json) {
  const bool live = !as_json && is_terminal(STDOUT_FILENO);
  for (;;) {
    const auto view = look_at_server(client);
    if (!view) return report_failure(view.error());
    if (as_json) {
      fmt::print("{}\n", json::serialize(view_json(*view)));
    } else {
      // Home and clear first, in one write with the rest, so that nothing flickers.
      fmt::print("{}{}{}", live ? "\033[H\033[J" : "", format_top(*view), live ? "\nCtrl-C ends it.\n" : "");
      std::fflush(stdout);
    }
    if (!live) return is_ready(view->health) ? kSuccess : kNotReady;
    // As often as halod itself learns news from its engine.
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
}

}  // namespace halod::cli
