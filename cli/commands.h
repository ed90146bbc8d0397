// haloctl's commands. Each prints its result on standard output, errors on standard error, and returns an
// ExitStatus.
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
  SamplingFlags sampling;
};

struct CompleteFlags {
  std::string text;  ///< empty: from standard input
  SamplingFlags sampling;
};

int run_status(const ApiClient& client, bool json);
int run_health(const ApiClient& client, bool json);
int run_models(const ApiClient& client, bool json);
int run_metrics(const ApiClient& client);
int run_chat(const ApiClient& client, bool json, const ChatFlags& flags);
int run_complete(const ApiClient& client, bool json, const CompleteFlags& flags);

/// Prints why a call failed and returns the status for it.
int report_failure(const Error& error);
int report_refusal(const ApiReply& reply);

}  // namespace halod::cli
