#include "cli/progress_line.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "cli/terminal.h"

namespace halod::cli {

ProgressLine::ProgressLine(bool quiet) : quiet_(quiet), redraws_(is_terminal(STDERR_FILENO)) {}

ProgressLine::~ProgressLine() {
  if (!quiet_ && redraws_) fmt::print(stderr, "\r\033[K");
}

void ProgressLine::show(const std::string& line, const std::string& landmark) {
  if (quiet_) return;
  if (redraws_) {
    fmt::print(stderr, "\r\033[K{}", line);
    std::fflush(stderr);
  } else if (landmark != last_landmark_) {
    fmt::print(stderr, "{}\n", line);
    last_landmark_ = landmark;
  }
}

}  // namespace halod::cli
