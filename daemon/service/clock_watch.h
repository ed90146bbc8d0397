// Notices when the calendar jumps, so that the log explains its own dates.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <string>

namespace halod {

/// Logs one line when the system clock moved by seconds against the monotonic one: it was set, or the machine
/// slept. Nothing else in halod depends on the calendar. Thread: the io thread.
class ClockWatch {
 public:
  explicit ClockWatch(const boost::asio::any_io_executor& executor) : timer_(executor) {}
  void start();

 private:
  void look();

  boost::asio::steady_timer timer_;
  std::chrono::system_clock::duration offset_{};  // of the calendar from the monotonic clock
};

/// "3650 d 2 h", "5 min 3 s": the two largest parts of a duration, without its sign.
std::string in_words(std::chrono::seconds duration);

}  // namespace halod
