// haloctl's exit statuses: part of its interface, for scripts.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace halod::cli {

enum ExitStatus : int {
  kSuccess = 0,
  kRefused = 1,
  kUsage = 2,
  kUnreachable = 3,
  kNotReady = 4,
  kUnhealthy = 5,
  kCannotRun = 6,
  kDoesNotFit = 7,
};

struct ExitStatusRow {
  ExitStatus status;
  std::string_view meaning;
};
/// All of them: the one place that --help and the manual page take them from.
std::span<const ExitStatusRow> exit_statuses();

/// "Exit status: 0 success, 1 …"
std::string exit_status_sentence();

}  // namespace halod::cli
