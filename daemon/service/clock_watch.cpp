#include "daemon/service/clock_watch.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <array>
#include <cstdlib>
#include <string>

namespace halod {

using std::chrono::duration_cast;
using std::chrono::seconds;
using std::chrono::steady_clock;
using std::chrono::system_clock;

namespace {

constexpr seconds kInterval{1};
/// NTP slews, which takes less than a millisecond each second; a step is larger.
constexpr seconds kJump{2};

system_clock::duration offset_now() {
  return system_clock::now().time_since_epoch() -
         duration_cast<system_clock::duration>(steady_clock::now().time_since_epoch());
}

}  // namespace

void ClockWatch::start() {
  offset_ = offset_now();
  look();
}

void ClockWatch::look() {
  const system_clock::duration offset = offset_now(), jump = offset - offset_;
  if (jump >= kJump || jump <= -kJump) {
    spdlog::warn(
        "the system clock jumped {} by {} (it was set, or the machine slept); requests and timeouts go by "
        "the "
        "monotonic clock and are not affected",
        jump > jump.zero() ? "forward" : "back", in_words(std::chrono::round<seconds>(jump)));
    offset_ = offset;
  }
  timer_.expires_after(kInterval);
  timer_.async_wait([this](const boost::system::error_code& ec) {
    if (!ec) look();
  });
}

std::string in_words(seconds duration) {
  struct Unit {
    const char* name;
    int64_t seconds;
  };
  constexpr std::array<Unit, 4> kUnits{{{"d", 86'400}, {"h", 3'600}, {"min", 60}, {"s", 1}}};
  int64_t rest = std::abs(static_cast<int64_t>(duration.count()));
  std::string words;
  int n_parts = 0;
  for (const Unit& unit : kUnits) {
    const int64_t n = rest / unit.seconds;
    rest %= unit.seconds;
    if (n == 0 && n_parts == 0) continue;
    if (n > 0) words += fmt::format("{}{} {}", words.empty() ? "" : " ", n, unit.name);
    if (++n_parts == 2) break;
  }
  return words.empty() ? "0 s" : words;
}

}  // namespace halod
