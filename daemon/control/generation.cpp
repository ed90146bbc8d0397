#include "daemon/control/generation.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <utility>

namespace halod {

namespace asio = boost::asio;

GenerationQueue::GenerationQueue(const asio::any_io_executor& executor)
    : wake_(executor, asio::steady_timer::time_point::max()) {}

void GenerationQueue::push(GenerationEvent event) {
  events_.push_back(std::move(event));
  wake_.cancel();
}

asio::awaitable<std::vector<GenerationEvent>> GenerationQueue::take() {
  if (events_.empty()) {
    // Woken by push() and by cancellation alike; what is in the queue tells which.
    co_await wake_.async_wait(asio::as_tuple(asio::use_awaitable));
  }
  std::vector<GenerationEvent> taken(std::make_move_iterator(events_.begin()),
                                     std::make_move_iterator(events_.end()));
  events_.clear();
  co_return taken;
}

Generation::Generation(std::shared_ptr<GenerationQueue> queue, size_t n_choices,
                       std::function<void(uint32_t)> cancel)
    : queue_(std::move(queue)),
      finished_(n_choices, false),
      n_unfinished_(n_choices),
      cancel_(std::move(cancel)) {}

Generation::~Generation() {
  if (!queue_) return;  // moved from
  for (uint32_t choice_idx = 0; choice_idx < finished_.size(); ++choice_idx) cancel(choice_idx);
}

asio::awaitable<std::vector<GenerationEvent>> Generation::next() {
  std::vector<GenerationEvent> events;
  while (events.empty()) {
    events = co_await queue_->take();
    if (events.empty()) {
      const auto state = co_await asio::this_coro::cancellation_state;
      if (state.cancelled() != asio::cancellation_type::none)
        throw boost::system::system_error(asio::error::operation_aborted);
    }
    std::erase_if(events, [this](const GenerationEvent& event) { return finished_[event.choice_idx]; });
  }
  for (const GenerationEvent& event : events) {
    if (!std::holds_alternative<RequestFinished>(event.what)) continue;
    finished_[event.choice_idx] = true;
    --n_unfinished_;
  }
  co_return events;
}

void Generation::cancel(uint32_t choice_idx) {
  if (finished_[choice_idx]) return;
  finished_[choice_idx] = true;
  --n_unfinished_;
  cancel_(choice_idx);
}

}  // namespace halod
