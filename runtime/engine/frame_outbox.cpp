#include "runtime/engine/frame_outbox.h"

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace halod {

FrameOutbox::FrameOutbox() : wake_fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (wake_fd_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

FrameOutbox::~FrameOutbox() { close(wake_fd_); }

void FrameOutbox::push(std::string_view frame) {
  {
    const std::lock_guard lock(mutex_);
    if (bytes_.size() + frame.size() > kMaxBytes) {
      throw ErrorException(
          {ErrorCode::kUnavailable, fmt::format("halod has left {} bytes unread, the limit is {}: it hangs",
                                                bytes_.size(), kMaxBytes)});
    }
    bytes_.append(frame);
  }
  wake();
}

void FrameOutbox::wake() {
  // Fails only when the counter is at its limit, and then the reader is awake anyway.
  static_cast<void>(eventfd_write(wake_fd_, 1));
}

void FrameOutbox::clear_wake() {
  eventfd_t count = 0;
  static_cast<void>(eventfd_read(wake_fd_, &count));
}

std::string FrameOutbox::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(bytes_, {});
}

}  // namespace halod
