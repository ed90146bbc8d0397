// How requests come to their model: they find it, have it loaded, wait for it, and are handed to the engine.
#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <utility>

#include "daemon/control/model_manager.h"

namespace halod {

namespace asio = boost::asio;
using std::chrono::steady_clock;

asio::awaitable<Result<ServedModelPtr>> ModelManager::acquire(std::string name) {
  const auto deadline = steady_clock::now() + setup_.config.models.wait_timeout;
  bool was_coming = false;
  std::shared_ptr<void> counted;  // a place in the queue, from the first wait on
  while (true) {
    Model* model = find_mutable(std::string_view(name));
    if (!model && !catalogued_ && !stopping_ && steady_clock::now() < deadline) {
      co_await wait_for_change(deadline);
      continue;
    }
    if (!model) co_return no_such_model(name);
    if (model->state == ModelState::kLoaded) {
      model->last_used = steady_clock::now();
      co_return model->served;
    }
    if (stopping_) co_return Error{ErrorCode::kUnavailable, "halod is stopping; retry when it is back"};
    const bool is_coming =
        model->resident || std::ranges::any_of(jobs_, [&](const Job& job) {
          return !job.ended() && job.kind != JobKind::kUnload && (name.empty() || job.model == model->id);
        });
    if (!is_coming && was_coming && model->error) co_return *model->error;
    if (!is_coming && !setup_.config.models.load_on_request) {
      co_return Error{ErrorCode::kUnavailable,
                      fmt::format("model '{}' is not loaded, and requests do not load models here "
                                  "(models.load_on_request); `haloctl load {}` does",
                                  model->spec.name, model->spec.name),
                      "model"};
    }
    if (!counted) {
      if (n_acquiring_ + setup_.dispatcher.n_unfinished() >= setup_.dispatcher.max_requests()) {
        co_return Error{ErrorCode::kQueueFull,
                        fmt::format("{} requests wait already: retry later", n_acquiring_)};
      }
      ++n_acquiring_;
      counted = std::shared_ptr<void>(nullptr, [this](void*) { --n_acquiring_; });
    }
    if (!is_coming) {
      if (auto job = load(model->spec.name, {}); !job) co_return job.error();
    }
    was_coming = true;
    if (steady_clock::now() >= deadline) {
      co_return Error{
          ErrorCode::kUnavailable,
          fmt::format("model '{}' was not there within {} s (models.wait_timeout): {}; retry later",
                      model->spec.name, setup_.config.models.wait_timeout.count() / 1000, readiness_.reason),
          "model"};
    }
    co_await wait_for_change(deadline);
  }
}

Error ModelManager::no_such_model(const std::string& name) const {
  if (!catalogued_)
    return {ErrorCode::kUnavailable, "halod does not know its models yet; retry when it is ready", "model"};
  return {ErrorCode::kNotFound,
          fmt::format("there is no model '{}'; GET /v1/models lists those that there are", name), "model"};
}

asio::awaitable<void> ModelManager::wait_for_change(steady_clock::time_point deadline) {
  co_await changed_.wait_until(deadline);
  const auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none)
    throw boost::system::system_error(asio::error::operation_aborted);
}

Result<Generation> ModelManager::submit(const ServedModel& model, std::vector<GenerationRequest> requests) {
  Model* known = find_mutable(model.id);
  if (!known)
    return Error{ErrorCode::kUnavailable, fmt::format("model '{}' is gone; retry", model.name), "model"};
  known->last_used = steady_clock::now();
  known->last_used_at = std::chrono::system_clock::now();
  auto generation = setup_.dispatcher.submit(model.id, model.limits, std::move(requests));
  // It may have been unloaded while the prompt was tokenized.
  const bool away = known->state == ModelState::kAvailable || known->state == ModelState::kFailed;
  if (generation && away) {
    if (auto job = load(known->spec.name, {}); !job)
      setup_.dispatcher.fail_all(model.id, job.error().code, job.error().message);
  }
  return generation;
}

}  // namespace halod
