#include "cli/http_control.h"

#include <fmt/format.h>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "cli/admin_key.h"
#include "cli/json_fields.h"

namespace halod::cli {

namespace json = boost::json;

Failure refusal_of(const ApiReply& reply) {
  const json::value body = parse_or_null(reply.body);
  const json::value* error = find_member(body, "error");
  Failure failure{reply.status == 503 ? kNotReady : kRefused, error ? text_of(*error, "message") : ""};
  // Not halod's words: somebody between us, or another server.
  if (failure.message.empty())
    failure.message = fmt::format("the server answered {}: {}", reply.status, reply.body);
  if (reply.status == 401) failure.message += "; give a key with --api-key or HALOD_API_KEY";
  return failure;
}

Failure HttpControl::unreachable(const Error& error) const {
  Failure failure = failure_of(error);
  failure.message += why_not_bus_;
  return failure;
}

/// Of an admin route: says what is missing when the server does not have them, or does not open them to us.
Failure HttpControl::admin_refusal(const ApiReply& reply) const {
  const json::value body = parse_or_null(reply.body);
  const json::value* error = find_member(body, "error");
  // A model or a job that does not exist is answered 404 too, with another code.
  if (reply.status == 404 && error && text_of(*error, "code") == "not_found") {
    return {kRefused,
            fmt::format(
                "this server takes no orders over HTTP: it has no /v1/admin routes. Set http.admin_keys in "
                "/etc/halod/halod.yaml and reload halod{}",
                why_not_bus_)};
  }
  if (reply.status == 401) {
    return {kRefused,
            fmt::format(
                "the server answered 401: this needs one of its http.admin_keys. Give it with --api-key or "
                "HALOD_API_KEY, or put it into {} and let yourself read it{}",
                kAdminKeyFile, why_not_bus_)};
  }
  return refusal_of(reply);
}

Reply<json::value> HttpControl::admin_answer(const Result<ApiReply>& reply) const {
  if (!reply) return unreachable(reply.error());
  if (!reply->ok()) return admin_refusal(*reply);
  return parse_or_null(reply->body);
}

Reply<json::value> HttpControl::health() {
  const auto reply = client_.get("/health");
  if (!reply) return unreachable(reply.error());
  if (reply->status != 200 && reply->status != 503) return refusal_of(*reply);
  json::value health = parse_or_null(reply->body);
  if (!text_of(health, "status").empty()) return health;
  return Failure{
      kUnreachable,
      fmt::format("what answers at {} is not halod: /health answered {}; name the server with --url{}", url(),
                  reply->status, why_not_bus_)};
}

Reply<json::value> HttpControl::version() {
  const auto reply = client_.get("/version");
  if (!reply) return unreachable(reply.error());
  return parse_or_null(reply->body);
}

Reply<ModelList> HttpControl::models() {
  const auto admin = client_.get("/v1/admin/models");
  if (!admin) return unreachable(admin.error());
  if (admin->ok()) return ModelList{items_of(parse_or_null(admin->body), "models"), true};
  const auto open = client_.get("/v1/models");
  if (!open) return unreachable(open.error());
  if (!open->ok()) return refusal_of(*open);
  return ModelList{items_of(parse_or_null(open->body), "data"), false};
}

Reply<json::array> HttpControl::jobs() {
  const auto answer = admin_answer(client_.get("/v1/admin/jobs"));
  if (!answer) return answer.error();
  return items_of(*answer, "jobs");
}

Reply<json::value> HttpControl::job(uint32_t id) {
  return admin_answer(client_.get(fmt::format("/v1/admin/jobs/{}", id)));
}

Reply<json::value> HttpControl::machine() { return admin_answer(client_.get("/v1/admin/machine")); }

Reply<json::value> HttpControl::tuning() { return admin_answer(client_.get("/v1/admin/tuning")); }

Reply<json::value> HttpControl::start(const JobOrder& order) {
  json::object body;
  if (!order.model.empty()) body["model"] = order.model;
  if (!order.policy.empty()) body["policy"] = order.policy;
  return admin_answer(client_.post("/v1/admin/models/" + order.verb, json::serialize(body)));
}

Reply<json::value> HttpControl::cancel(uint32_t id) {
  return admin_answer(client_.remove(fmt::format("/v1/admin/jobs/{}", id)));
}

Reply<json::value> HttpControl::reload() { return admin_answer(client_.post("/v1/admin/reload", "{}")); }

Reply<json::value> HttpControl::set_log_level(const std::string& level) {
  json::object body;
  body["level"] = level;
  return admin_answer(client_.put("/v1/admin/log-level", json::serialize(body)));
}

}  // namespace halod::cli
