// What the server is and how it is: status, health, models, metrics, top.
#include <fmt/format.h>
#include <unistd.h>

#include <boost/json/serialize.hpp>
#include <chrono>
#include <cstdio>
#include <thread>

#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/json_fields.h"
#include "cli/server_view.h"
#include "cli/terminal.h"

namespace halod::cli {

namespace json = boost::json;

int report_failure(const Error& error) {
  fmt::print(stderr, "haloctl: {}\n", error.message);
  return error.code == ErrorCode::kInvalidArgument ? kUsage : kUnreachable;
}

int report_refusal(const ApiReply& reply) {
  const json::value body = parse_or_null(reply.body);
  const json::value* error = find_member(body, "error");
  fmt::print(stderr, "haloctl: the server answered {}: {}\n", reply.status,
             error ? text_of(*error, "message") : reply.body);
  if (reply.status == 401) fmt::print(stderr, "haloctl: give a key with --api-key or HALOD_API_KEY\n");
  return reply.status == 503 ? kNotReady : kRefused;
}

int run_health(const ApiClient& client, bool as_json) {
  const auto reply = client.get("/health");
  if (!reply) return report_failure(reply.error());
  if (reply->status != 200 && reply->status != 503) return report_refusal(*reply);
  if (as_json) {
    fmt::print("{}", reply->body);
  } else {
    const json::value health = parse_or_null(reply->body);
    const std::string reason = text_of(health, "reason");
    fmt::print("{}{}{}\n", text_of(health, "status"), reason.empty() ? "" : ": ", reason);
  }
  return reply->ok() ? kSuccess : kNotReady;
}

int run_status(const ApiClient& client, bool as_json) {
  const auto view = look_at_server(client);
  if (!view) return report_failure(view.error());
  if (as_json) {
    fmt::print("{}\n", json::serialize(view_json(*view)));
  } else {
    fmt::print("{}", format_status(*view));
  }
  return view->ready() ? kSuccess : kNotReady;
}

int run_models(const ApiClient& client, bool as_json, bool names_only) {
  const auto reply = client.get("/v1/models");
  if (!reply) return report_failure(reply.error());
  // The open route's refusal is the one to show: who has no key at all sees nothing.
  if (!reply->ok()) return report_refusal(*reply);
  bool has_admin = false;
  const auto models = fetch_models(client, has_admin);
  if (!models) return report_failure(models.error());
  if (names_only) {
    for (const json::value& model : *models) fmt::print("{}\n", text_of(model, has_admin ? "name" : "id"));
  } else if (as_json) {
    json::object body;
    body["models"] = *models;
    fmt::print("{}\n", json::serialize(body));
  } else {
    fmt::print("{}", format_models(*models, has_admin));
  }
  return kSuccess;
}

int run_metrics(const ApiClient& client) {
  const auto reply = client.get("/metrics");
  if (!reply) return report_failure(reply.error());
  if (!reply->ok()) return report_refusal(*reply);
  fmt::print("{}", reply->body);
  return kSuccess;
}

int run_top(const ApiClient& client, bool as_json) {
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
    if (!live) return view->ready() ? kSuccess : kNotReady;
    // As often as halod itself learns news from its engine.
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
}

}  // namespace halod::cli
