#include "cli/exit_status.h"

#include <fmt/format.h>

#include <array>

namespace halod::cli {
namespace {

constexpr std::array kRows = {
    ExitStatusRow{kSuccess, "success"},
    ExitStatusRow{kRefused, "the server or the hub answered with an error, or a job failed or was cancelled"},
    ExitStatusRow{kUsage, "wrong usage"},
    ExitStatusRow{kUnreachable, "no server there, or it broke off"},
    ExitStatusRow{kNotReady, "the server is there and is loading or restarting"},
    ExitStatusRow{kUnhealthy, "haloctl doctor found something that must be put right"},
    ExitStatusRow{kCannotRun,
                  "haloctl inspect: halod cannot run the model, or the file is damaged; haloctl pull: the "
                  "disk said no; haloctl migrate: there is nothing to read"},
    ExitStatusRow{kDoesNotFit, "haloctl inspect: the model does not fit into this machine's free memory"},
};

}  // namespace

std::span<const ExitStatusRow> exit_statuses() { return kRows; }

std::string exit_status_sentence() {
  std::string text = "Exit status:";
  for (const ExitStatusRow& row : kRows)
    text +=
        fmt::format("{} {} {}", &row == kRows.data() ? "" : ";", static_cast<int>(row.status), row.meaning);
  return text + ".";
}

}  // namespace halod::cli
