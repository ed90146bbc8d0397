// haloctl's commands. Each prints its result on standard output, errors on standard error, and returns an
// ExitStatus. Thread: one.
#pragma once

#include <optional>
#include <string>

#include "cli/api_client.h"

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

/// load, unload, swap, rescan.
struct JobFlags {
  std::string model;     ///< empty for a rescan
  std::string policy;    ///< drain, pause; empty: what the server is configured for
  bool no_wait = false;  ///< return as soon as the job is accepted
};

// server_commands.cpp
int run_status(const ApiClient& client, bool json);
int run_health(const ApiClient& client, bool json);
int run_models(const ApiClient& client, bool json, bool names_only);
int run_metrics(const ApiClient& client);
int run_top(const ApiClient& client, bool json);

// admin_commands.cpp
/// `verb`: load, unload, swap or rescan.
int run_job_command(const ApiClient& client, bool json, const std::string& verb, const JobFlags& flags);
int run_jobs(const ApiClient& client, bool json);
int run_tuning(const ApiClient& client, bool json);
int run_cancel(const ApiClient& client, bool json, uint32_t job);
int run_reload(const ApiClient& client, bool json);
int run_log_level(const ApiClient& client, bool json, const std::string& level);

// text_commands.cpp
int run_chat(const ApiClient& client, bool json, const ChatFlags& flags);
int run_complete(const ApiClient& client, bool json, const CompleteFlags& flags);

/// Prints why a call failed and returns the status for it.
int report_failure(const Error& error);
int report_refusal(const ApiReply& reply);

}  // namespace halod::cli
