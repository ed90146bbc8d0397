#include "cli/job_watch.h"

#include <fmt/format.h>
#include <unistd.h>

#include <boost/json/serialize.hpp>
#include <cstdio>
#include <string>
#include <thread>

#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/format.h"
#include "cli/json_fields.h"
#include "cli/server_view.h"
#include "cli/terminal.h"

namespace halod::cli {
namespace {

namespace json = boost::json;

bool has_ended(const json::value& job) {
  const std::string state = text_of(job, "state");
  return state != "waiting" && state != "running";
}

class ProgressLine {
 public:
  explicit ProgressLine(bool quiet) : quiet_(quiet), moves_(is_terminal(STDERR_FILENO)) {}
  ~ProgressLine() {
    if (!quiet_ && moves_) fmt::print(stderr, "\r\033[K");
  }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void show(const json::value& job) {
    if (quiet_) return;
    if (moves_) {
      fmt::print(stderr, "\r\033[K{}", format_job_progress(job));
      std::fflush(stderr);
    } else if (const std::string stage = text_of(job, "stage"); stage != last_stage_) {
      fmt::print(stderr, "{}\n", format_job_progress(job));
      last_stage_ = stage;
    }
  }

 private:
  bool quiet_, moves_;
  std::string last_stage_;
};

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
    for (line.show(job); !has_ended(job); line.show(job)) {
      std::this_thread::sleep_for(interval);
      auto now = client.job(id);
      if (!now) return report_failure(now.error());
      job = std::move(*now);
    }
  }
  return report_end(job, as_json);
}

}  // namespace halod::cli
