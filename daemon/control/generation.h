// A running generation as its consumer sees it: one or more sequences (choices) whose tokens arrive in one
// queue.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <variant>
#include <vector>

#include "runtime/engine/request.h"

namespace halod {

struct GenerationEvent {
  uint32_t choice_idx = 0;
  std::variant<GeneratedToken, RequestFinished> what;
};

/// What the supervisor fills and a Generation empties. It holds what the engine may send (max_tokens per
/// choice) and never refuses, so a slow reader is not mistaken for one that is gone. Thread: the io thread.
class GenerationQueue {
 public:
  explicit GenerationQueue(const boost::asio::any_io_executor& executor);

  void push(GenerationEvent event);
  /// Everything that has arrived; waits for the first. An empty vector only when the wait was cancelled.
  boost::asio::awaitable<std::vector<GenerationEvent>> take();

 private:
  boost::asio::steady_timer wake_;
  std::deque<GenerationEvent> events_;
};

/// Owns its sequences: destroying it cancels those that are unfinished, in the engine too. Thread: the io
/// thread.
class Generation {
 public:
  /// `cancel(choice_idx)` is called at most once per unfinished choice and must be safe after its owner is
  /// gone.
  Generation(std::shared_ptr<GenerationQueue> queue, size_t n_choices, std::function<void(uint32_t)> cancel);
  Generation(Generation&& other) noexcept = default;
  Generation& operator=(Generation&&) = delete;
  ~Generation();

  size_t n_choices() const { return finished_.size(); }
  bool all_finished() const { return n_unfinished_ == 0; }
  /// At least one event. REQUIRES: !all_finished(). Throws system_error(operation_aborted) when cancelled
  /// while waiting.
  boost::asio::awaitable<std::vector<GenerationEvent>> next();
  /// Ends one choice; no event of it follows. Does nothing when it has finished.
  void cancel(uint32_t choice_idx);

 private:
  std::shared_ptr<GenerationQueue> queue_;
  std::vector<bool> finished_;
  size_t n_unfinished_;
  std::function<void(uint32_t)> cancel_;
};

}  // namespace halod
