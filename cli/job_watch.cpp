#include "cli/job_watch.h"

#include <fmt/format.h>

#include <boost/json/serialize.hpp>
#include <string>
#include <thread>

#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/format.h"
#include "cli/json_fields.h"
#include "cli/progress_line.h"
#include "cli/server_view.h"

namespace halod::cli {
namespace {

namespace json = boost::json;

bool has_ended(const json::value& job) {
  const std::string state = text_of(job, "state");
  return state != "waiting" && state != "running";
}

int report_end(const json::value& job, bool as_json) {
  const std::string state = text_of(job, "state");
  const bool done = state == "done";
  if (as_json) {
    fmt::print("{}\n", json::serialize(job));
  } else {
    const std::string model = text_of(job, "model");
    const std::string what = fmt::format("{}{}{}", text_of(job, "kind"), model.empty() ? "" : " ", model);
    if (done) {
      fmt::print("{}: done in {}\n", what, format_seconds(number_of(job, "seconds")));
    } else {
      const json::value* error = find_member(job, "error");
      fmt::print(stderr, "haloctl: {}: {}{}{}\n", what, state, error ? ": " : "",
                 error ? text_of(*error, "message") : "");
    }
  }
  return done ? kSuccess : kRefused;
}

}  // namespace

int follow_job(ControlClient& client, json::value job, bool as_json, std::chrono::milliseconds interval) {
  const auto id = static_cast<uint32_t>(count_of(job, "id"));
  {
    ProgressLine line(as_json);
    const auto show = [&line](const json::value& seen) {
      line.show(format_job_progress(seen), text_of(seen, "stage"));
    };
    for (show(job); !has_ended(job); show(job)) {
      std::this_thread::sleep_for(interval);
      auto now = client.job(id);
      if (!now) return report_failure(now.error());
      job = std::move(*now);
    }
  }
  return report_end(job, as_json);
}

}  // namespace halod::cli
