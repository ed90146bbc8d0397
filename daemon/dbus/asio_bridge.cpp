#include "daemon/dbus/asio_bridge.h"

#include <fcntl.h>
#include <poll.h>

#include <boost/asio/post.hpp>
#include <utility>

namespace halod {

namespace asio = boost::asio;

namespace {

/// Messages in one go; a client that floods the bus must leave the io thread its other work.
constexpr int kMaxMessagesAtOnce = 64;

/// Asio closes what it is given, and the connection its own.
int duplicate(int fd) { return ::fcntl(fd, F_DUPFD_CLOEXEC, 0); }

}  // namespace

AsioBridge::AsioBridge(const asio::any_io_executor& executor, sdbus::IConnection& connection,
                       std::function<void(std::string)> on_lost)
    : connection_(connection),
      on_lost_(std::move(on_lost)),
      bus_(executor, duplicate(sdbus_compat::poll_data(connection).fd)),
      timer_(executor) {
  if (const int fd = sdbus_compat::poll_data(connection).event_fd; fd >= 0)
    event_.emplace(executor, duplicate(fd));
}

void AsioBridge::stop() {
  on_lost_ = nullptr;
  cancel();
}

void AsioBridge::cancel() {
  stopped_ = true;
  boost::system::error_code ignored;  // nothing is under way, or it is cancelled
  bus_.close(ignored);
  if (event_) event_->close(ignored);
  timer_.cancel();
}

void AsioBridge::kick() {
  if (stopped_ || std::exchange(kicked_, true)) return;
  asio::post(timer_.get_executor(), [self = shared_from_this()] {
    self->kicked_ = false;
    self->pump();
  });
}

void AsioBridge::pump() {
  if (stopped_) return;
  try {
    for (int i = 0; i < kMaxMessagesAtOnce; ++i) {
      const bool handled = sdbus_compat::process_one(connection_);
      if (stopped_) return;
      if (!handled) return arm();
    }
    kick();
  } catch (const sdbus::Error& error) {
    lose(error.getMessage());
  }
}

void AsioBridge::arm() {
  const sdbus_compat::PollData poll = sdbus_compat::poll_data(connection_);
  if (poll.events & POLLIN) wait(bus_, Descriptor::wait_read, reading_);
  if (poll.events & POLLOUT) wait(bus_, Descriptor::wait_write, writing_);
  if (event_) wait(*event_, Descriptor::wait_read, reading_event_);
  if (!poll.timeout) return;
  timer_.expires_after(*poll.timeout);
  timer_.async_wait([self = shared_from_this()](const boost::system::error_code& ec) {
    if (!ec) self->pump();
  });
}

void AsioBridge::wait(Descriptor& descriptor, Descriptor::wait_type what, bool& is_waiting) {
  if (std::exchange(is_waiting, true)) return;
  descriptor.async_wait(what, [self = shared_from_this(), &is_waiting](const boost::system::error_code& ec) {
    is_waiting = false;
    if (!ec) self->pump();
  });
}

void AsioBridge::lose(std::string why) {
  cancel();
  asio::post(timer_.get_executor(), [self = shared_from_this(), why = std::move(why)] {
    if (const auto on_lost = std::exchange(self->on_lost_, nullptr)) on_lost(why);
  });
}

}  // namespace halod
