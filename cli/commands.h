// haloctl's commands. Each prints its result on standard output, errors on standard error, and returns an
// ExitStatus. Thread: one.
#pragma once

#include <optional>
#include <string>

#include "cli/api_client.h"
#include "cli/control_client.h"

namespace halod::cli {

struct SamplingFlags {
  std::optional<double> temperature;
  std::optional<int64_t> max_tokens;
  std::optional<int64_t> seed;
};

struct ChatFlags {
  std::string text;    ///< empty: talk on a terminal, or the one message from standard input
  std::string system;  ///< empty: none
  std::string model;   ///< empty: the active one
  SamplingFlags sampling;
};

struct CompleteFlags {
  std::string text;   ///< empty: from standard input
  std::string model;  ///< empty: the active one
  SamplingFlags sampling;
};

// server_commands.cpp
int run_status(ControlClient& client, bool json);
int run_health(ControlClient& client, bool json);
int run_models(ControlClient& client, bool json, bool names_only);
int run_metrics(const ApiClient& client);
int run_top(ControlClient& client, bool json);

// admin_commands.cpp
/// `no_wait`: return as soon as the job is accepted.
int run_job_command(ControlClient& client, bool json, const JobOrder& order, bool no_wait);
int run_jobs(ControlClient& client, bool json);
int run_tuning(ControlClient& client, bool json);
int run_cancel(ControlClient& client, bool json, uint32_t job);
int run_reload(ControlClient& client, bool json);
int run_log_level(ControlClient& client, bool json, const std::string& level);

// text_commands.cpp
int run_chat(const ApiClient& client, bool json, const ChatFlags& flags);
int run_complete(const ApiClient& client, bool json, const CompleteFlags& flags);

/// Prints why a call failed and returns the status for it.
int report_failure(const Failure& failure);

}  // namespace halod::cli
