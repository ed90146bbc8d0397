// "Something changed; look again", between coroutines of the io thread.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>

#include "daemon/control/await_tuple.h"

namespace halod {

/// Thread: the io thread. Waiters must check what they wait for again: they also wake when they are
/// cancelled.
class Signal {
 public:
  using Clock = std::chrono::steady_clock;
  explicit Signal(const boost::asio::any_io_executor& executor)
      : timer_(executor, Clock::time_point::max()) {}

  void notify() { timer_.cancel(); }
  boost::asio::awaitable<void> wait() { co_await timer_.async_wait(kAwaitTuple); }
  /// Waits no longer than until `deadline`.
  boost::asio::awaitable<void> wait_until(Clock::time_point deadline) {
    // A timer of its own: moving the shared one's expiry would wake everybody.
    boost::asio::steady_timer own(timer_.get_executor(), deadline);
    own.async_wait([this](const boost::system::error_code& ec) {
      if (!ec) notify();
    });
    co_await timer_.async_wait(kAwaitTuple);
  }

 private:
  boost::asio::steady_timer timer_;
};

}  // namespace halod
