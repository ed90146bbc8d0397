// Frames on their way from the engine thread to the socket thread.
#pragma once

#include <cstddef>
#include <mutex>
#include <string>
#include <string_view>

namespace halod {

/// A bounded byte queue with a descriptor that a poll loop can wait on. Thread: any.
class FrameOutbox {
 public:
  /// A peer that leaves so much unread does not read at all: tokens are some hundred bytes each.
  static constexpr size_t kMaxBytes = size_t{64} << 20;

  /// Throws std::system_error when the system gives no eventfd.
  FrameOutbox();
  ~FrameOutbox();
  FrameOutbox(const FrameOutbox&) = delete;
  FrameOutbox& operator=(const FrameOutbox&) = delete;

  /// Queues a whole frame and wakes the socket thread; never blocks.
  /// Throws ErrorException (kUnavailable) when the queue is full.
  void push(std::string_view frame);
  /// Wakes the socket thread without a frame.
  void wake();

  /// Readable after push() and wake() until the next clear_wake(), which comes before the take() it
  /// announces. Owned by this object.
  int wake_fd() const { return wake_fd_; }
  void clear_wake();
  /// Everything queued so far.
  std::string take();

 private:
  const int wake_fd_;
  std::mutex mutex_;
  std::string bytes_;  // guarded by mutex_
};

}  // namespace halod
