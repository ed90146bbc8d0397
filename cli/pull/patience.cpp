#include "cli/pull/patience.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "cli/format.h"
#include "cli/terminal.h"

namespace halod::cli {
namespace {

constexpr std::chrono::milliseconds kFirstWait{500};
constexpr std::chrono::milliseconds kLongestWait{30'000};

}  // namespace

bool Patience::wait(const Error& because, std::optional<uint32_t> retry_after) {
  if (++n_failed_ >= n_attempts_) return false;
  std::chrono::milliseconds pause = kFirstWait * (1 << n_failed_);
  if (retry_after) pause = std::max(pause, std::chrono::milliseconds(uint64_t{*retry_after} * 1000));
  pause = std::min(pause, kLongestWait);
  fmt::print(stderr, "{}haloctl: {}; attempt {} of {} in {}\n", is_terminal(STDERR_FILENO) ? "\r\033[K" : "",
             because.message, n_failed_ + 1, n_attempts_,
             format_seconds(static_cast<double>(pause.count()) / 1000));
  std::this_thread::sleep_for(pause);
  return true;
}

}  // namespace halod::cli
