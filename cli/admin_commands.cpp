// What administrators see and change: load, unload, swap, rescan, jobs, cancel, tuning, reload, log-level.
#include <fmt/format.h>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/job_watch.h"
#include "cli/json_fields.h"
#include "cli/server_view.h"

namespace halod::cli {
namespace {

namespace json = boost::json;

/// Prints an answer: as the server gave it, or one sentence.
int report_answer(const Reply<json::value>& answer, bool as_json, std::string_view sentence) {
  if (!answer) return report_failure(answer.error());
  if (as_json) {
    fmt::print("{}\n", json::serialize(*answer));
  } else {
    fmt::print("{}\n", sentence);
  }
  return kSuccess;
}

}  // namespace

int run_job_command(ControlClient& client, bool as_json, const JobOrder& order, bool no_wait) {
  const auto job = client.start(order);
  if (!job) return report_failure(job.error());
  if (!no_wait) return follow_job(client, *job, as_json);
  return report_answer(job, as_json,
                       fmt::format("job {}: {}", text_of(*job, "id"), format_job_progress(*job)));
}

int run_jobs(ControlClient& client, bool as_json) {
  const auto jobs = client.jobs();
  if (!jobs) return report_failure(jobs.error());
  if (as_json) {
    json::object body;
    body["jobs"] = *jobs;
    fmt::print("{}\n", json::serialize(body));
  } else {
    fmt::print("{}", format_jobs(*jobs));
  }
  return kSuccess;
}

int run_cancel(ControlClient& client, bool as_json, uint32_t job) {
  return report_answer(client.cancel(job), as_json, fmt::format("job {}: told to stop", job));
}

int run_tuning(ControlClient& client, bool as_json) {
  const auto tuning = client.tuning();
  if (!tuning) return report_failure(tuning.error());
  if (as_json) {
    fmt::print("{}\n", json::serialize(*tuning));
  } else {
    fmt::print("{}", format_tuning(*tuning));
  }
  return kSuccess;
}

int run_reload(ControlClient& client, bool as_json) {
  return report_answer(client.reload(), as_json, "the configuration was read again");
}

int run_log_level(ControlClient& client, bool as_json, const std::string& level) {
  return report_answer(client.set_log_level(level), as_json, fmt::format("the log level is {}", level));
}

}  // namespace halod::cli
