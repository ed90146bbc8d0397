// Lets Asio wait for a D-Bus connection, so that it needs no thread of its own.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/dbus/sdbus_compat.h"

namespace halod {

/// Thread: the io thread. Shared by the operations that it has under way; the connection need only live until
/// stop().
class AsioBridge : public std::enable_shared_from_this<AsioBridge> {
 public:
  /// `on_lost` is called once, on a stack of its own, when the connection can be used no more.
  AsioBridge(const boost::asio::any_io_executor& executor, sdbus::IConnection& connection,
             std::function<void(std::string why)> on_lost);

  void start() { kick(); }
  /// Touches the connection no more and calls nothing any more.
  void stop();
  /// After something was sent from outside of the connection's own callbacks: it may have to wait until the
  /// socket takes it, and replies have deadlines.
  void kick();

 private:
  using Descriptor = boost::asio::posix::stream_descriptor;
  void cancel();
  void pump();
  void arm();
  void wait(Descriptor& descriptor, Descriptor::wait_type what, bool& is_waiting);
  void lose(std::string why);

  sdbus::IConnection& connection_;
  std::function<void(std::string)> on_lost_;
  Descriptor bus_;
  std::optional<Descriptor> event_;
  boost::asio::steady_timer timer_;
  bool reading_ = false, writing_ = false, reading_event_ = false;
  bool kicked_ = false, stopped_ = false;
};

}  // namespace halod
