// What administrators see and change: load, unload, swap, rescan, jobs, cancel, tuning, reload, log-level.
#include <fmt/format.h>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "cli/admin_key.h"
#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/job_watch.h"
#include "cli/json_fields.h"
#include "cli/server_view.h"

namespace halod::cli {
namespace {

namespace json = boost::json;

/// Of an admin route: says what is missing when the server does not have them, or does not open them to us.
int report_admin_refusal(const ApiReply& reply) {
  const json::value body = parse_or_null(reply.body);
  const json::value* error = find_member(body, "error");
  // A model or a job that does not exist is answered 404 too, with another code.
  if (reply.status == 404 && error && text_of(*error, "code") == "not_found") {
    fmt::print(
        stderr,
        "haloctl: this server takes no orders over HTTP: it has no /v1/admin routes. Set http.admin_keys in "
        "/etc/halod/halod.yaml and restart halod.\n");
    return kRefused;
  }
  if (reply.status == 401) {
    fmt::print(
        stderr,
        "haloctl: the server answered 401: this needs one of its http.admin_keys. Give it with --api-key or "
        "HALOD_API_KEY, or put it into {} and let yourself read it.\n",
        kAdminKeyFile);
    return kRefused;
  }
  return report_refusal(reply);
}

/// Prints an admin route's answer: as the server sent it, or one sentence.
int report_answer(const Result<ApiReply>& reply, bool as_json, std::string_view sentence) {
  if (!reply) return report_failure(reply.error());
  if (!reply->ok()) return report_admin_refusal(*reply);
  if (as_json) {
    fmt::print("{}", reply->body);
  } else {
    fmt::print("{}\n", sentence);
  }
  return kSuccess;
}

}  // namespace

int run_job_command(const ApiClient& client, bool as_json, const std::string& verb, const JobFlags& flags) {
  json::object body;
  if (!flags.model.empty()) body["model"] = flags.model;
  if (!flags.policy.empty()) body["policy"] = flags.policy;
  const auto reply = client.post("/v1/admin/models/" + verb, json::serialize(body));
  if (!reply) return report_failure(reply.error());
  if (!reply->ok()) return report_admin_refusal(*reply);
  const json::value job = parse_or_null(reply->body);
  if (!flags.no_wait) return follow_job(client, job, as_json);
  if (as_json) {
    fmt::print("{}", reply->body);
  } else {
    fmt::print("job {}: {}\n", text_of(job, "id"), format_job_progress(job));
  }
  return kSuccess;
}

int run_jobs(const ApiClient& client, bool as_json) {
  const auto reply = client.get("/v1/admin/jobs");
  if (!reply) return report_failure(reply.error());
  if (!reply->ok()) return report_admin_refusal(*reply);
  if (as_json) {
    fmt::print("{}", reply->body);
  } else {
    fmt::print("{}", format_jobs(items_of(parse_or_null(reply->body), "jobs")));
  }
  return kSuccess;
}

int run_tuning(const ApiClient& client, bool as_json) {
  const auto reply = client.get("/v1/admin/tuning");
  if (!reply) return report_failure(reply.error());
  if (!reply->ok()) return report_admin_refusal(*reply);
  if (as_json) {
    fmt::print("{}", reply->body);
  } else {
    fmt::print("{}", format_tuning(parse_or_null(reply->body)));
  }
  return kSuccess;
}

int run_cancel(const ApiClient& client, bool as_json, uint32_t job) {
  return report_answer(client.remove(fmt::format("/v1/admin/jobs/{}", job)), as_json,
                       fmt::format("job {}: told to stop", job));
}

int run_reload(const ApiClient& client, bool as_json) {
  return report_answer(client.post("/v1/admin/reload", "{}"), as_json, "the configuration was read again");
}

int run_log_level(const ApiClient& client, bool as_json, const std::string& level) {
  json::object body;
  body["level"] = level;
  return report_answer(client.put("/v1/admin/log-level", json::serialize(body)), as_json,
                       fmt::format("the log level is {}", level));
}

}  // namespace halod::cli
