// What the server is and how it is: status, health, models, metrics.
#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cstdio>

#include "cli/commands.h"
#include "cli/exit_status.h"

namespace halod::cli {
namespace {

namespace json = boost::json;

json::value parse_or_null(const std::string& text) {
  json::error_code ec;
  json::value value = json::parse(text, ec);
  return ec ? json::value(nullptr) : value;
}

std::string member(const json::value& value, std::string_view name) {
  const json::object* object = value.if_object();
  const json::value* found = object ? object->if_contains(name) : nullptr;
  if (!found) return "";
  return found->is_string() ? std::string(found->get_string()) : json::serialize(*found);
}

void print_health(const json::value& health) {
  const std::string reason = member(health, "reason");
  fmt::print("{}{}{}\n", member(health, "status"), reason.empty() ? "" : ": ", reason);
}

}  // namespace

int report_failure(const Error& error) {
  fmt::print(stderr, "haloctl: {}\n", error.message);
  return error.code == ErrorCode::kInvalidArgument ? kUsage : kUnreachable;
}

int report_refusal(const ApiReply& reply) {
  const json::value body = parse_or_null(reply.body);
  const json::object* object = body.if_object();
  const json::value* error = object ? object->if_contains("error") : nullptr;
  fmt::print(stderr, "haloctl: the server answered {}: {}\n", reply.status,
             error ? member(*error, "message") : reply.body);
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
    print_health(parse_or_null(reply->body));
  }
  return reply->ok() ? kSuccess : kNotReady;
}

int run_status(const ApiClient& client, bool as_json) {
  const auto health = client.get("/health");
  if (!health) return report_failure(health.error());
  const auto version = client.get("/version");
  if (!version) return report_failure(version.error());
  const json::value health_json = parse_or_null(health->body);
  const json::value version_json = parse_or_null(version->body);
  if (as_json) {
    fmt::print("{}\n", json::serialize(json::object{
                           {"url", client.url()}, {"health", health_json}, {"version", version_json}}));
    return health->ok() ? kSuccess : kNotReady;
  }
  fmt::print("server    {}\nversion   {}\nmodel     {}\n", client.url(), member(version_json, "version"),
             member(health_json, "model"));
  if (const std::string backend = member(version_json, "backend"); !backend.empty()) {
    fmt::print("backend   {} ({})\n", backend, member(version_json, "device"));
  }
  fmt::print("requests  {}\nstate     ", member(health_json, "requests"));
  print_health(health_json);
  return health->ok() ? kSuccess : kNotReady;
}

int run_models(const ApiClient& client, bool as_json) {
  const auto reply = client.get("/v1/models");
  if (!reply) return report_failure(reply.error());
  if (!reply->ok()) return report_refusal(*reply);
  if (as_json) {
    fmt::print("{}", reply->body);
    return kSuccess;
  }
  const json::value body = parse_or_null(reply->body);
  const json::object* object = body.if_object();
  const json::value* data = object ? object->if_contains("data") : nullptr;
  if (!data || !data->is_array())
    return report_failure({ErrorCode::kUnavailable, "the server's list of models cannot be read"});
  for (const json::value& model : data->get_array()) fmt::print("{}\n", member(model, "id"));
  return kSuccess;
}

int run_metrics(const ApiClient& client) {
  const auto reply = client.get("/metrics");
  if (!reply) return report_failure(reply.error());
  if (!reply->ok()) return report_refusal(*reply);
  fmt::print("{}", reply->body);
  return kSuccess;
}

}  // namespace halod::cli
