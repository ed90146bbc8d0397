#include "runtime/engine/engine_thread.h"

#include <fmt/format.h>
#include <pthread.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <exception>
#include <utility>

namespace halod {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kProgressInterval{100};
/// Between two requests of a conversation nothing is measured.
constexpr std::chrono::seconds kIdleBeforeTuning{2};

}  // namespace

EngineThread::EngineThread(ModelFactory factory, FrameOutbox& outbox)
    : outbox_(outbox), models_(std::move(factory), sink_), thread_([this] { run(); }) {}

EngineThread::~EngineThread() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void EngineThread::post(Command command, size_t n_bytes) {
  {
    const std::lock_guard lock(mutex_);
    inbox_.push_back({std::move(command), n_bytes});
    n_queued_bytes_.fetch_add(n_bytes, std::memory_order_relaxed);
  }
  wake_.notify_one();
}

void EngineThread::run() {
  pthread_setname_np(pthread_self(), "engine");
  try {
    loop();
  } catch (const std::exception& exception) {
    // The one place where device failures end up: halod starts a new engine and resubmits what was
    // unfinished.
    spdlog::critical("the engine failed and gives up: {}", exception.what());
    failed_.store(true, std::memory_order_release);
    outbox_.wake();
  }
}

void EngineThread::loop() {
  while (wait_for_work()) {
    bool took_commands = false;
    while (auto command = next_command()) {
      std::visit([this](auto& message) { handle(message); }, *command);
      took_commands = true;
    }
    if (took_commands)
      outbox_.wake();  // the socket thread may have stopped reading because the inbox was full
    const bool stepped = models_.step();
    flush_round();
    const auto now = Clock::now();
    if (stepped) idle_since_ = now;
    if (stepped || !models_.wants_idle_work() || now - idle_since_ < kIdleBeforeTuning) continue;
    if (const auto changed = models_.idle_step()) send(wire::FrameType::kSelections, *changed);
  }
}

/// False when the thread shall end.
bool EngineThread::wait_for_work() {
  std::unique_lock lock(mutex_);
  const auto is_wanted = [this] { return stopping_ || !inbox_.empty(); };
  if (models_.has_work()) return !stopping_;
  if (models_.wants_idle_work()) {
    wake_.wait_until(lock, idle_since_ + kIdleBeforeTuning, is_wanted);
  } else {
    wake_.wait(lock, is_wanted);
  }
  return !stopping_;
}

/// During a load, what concerns only what is resident overtakes the rest.
std::optional<EngineThread::Command> EngineThread::next_command() {
  const std::lock_guard lock(mutex_);
  const auto next = std::ranges::find_if(
      inbox_, [this](const QueuedCommand& queued) { return !loading_ || !can_wait(queued.command); });
  if (next == inbox_.end()) return std::nullopt;
  Command command = std::move(next->command);
  n_queued_bytes_.fetch_sub(next->n_bytes, std::memory_order_relaxed);
  inbox_.erase(next);
  return command;
}

/// A load that is to come, and requests for the model that is being loaded.
bool EngineThread::can_wait(const Command& command) const {
  if (std::holds_alternative<wire::LoadModel>(command)) return true;
  const auto* submission = std::get_if<wire::Submit>(&command);
  return submission != nullptr && !models_.contains(submission->model_id);
}

template <class Message>
void EngineThread::send(wire::FrameType type, const Message& message) {
  outbox_.push(wire::encode(type, message));
}

void EngineThread::flush_round() {
  if (!sink_.tokens.tokens.empty()) send(wire::FrameType::kTokens, sink_.tokens);
  sink_.tokens.tokens.clear();
  for (const RequestFinished& finished : sink_.finished) send(wire::FrameType::kFinished, finished);
  sink_.finished.clear();
}

void EngineThread::handle(const wire::LoadModel& request) {
  last_progress_ = {};
  loading_ = request.model_id;
  load_cancelled_ = false;
  const auto loaded = models_.load(
      request,
      [this](std::string_view stage, uint64_t n_done, uint64_t n_total) {
        report_progress(stage, n_done, n_total);
      },
      [this] { return serve_meanwhile(); });
  loading_.reset();
  idle_since_ = Clock::now();
  if (loaded) return send(wire::FrameType::kLoaded, *loaded);
  const Error& error = loaded.error();
  // halod logs it, with the job that wanted the model.
  spdlog::debug("{} cannot be loaded: {}", request.path, error.message);
  send(wire::FrameType::kLoadFailed, wire::LoadFailure{.model_id = request.model_id,
                                                       .error_code = std::string(to_string(error.code)),
                                                       .message = error.message,
                                                       .needed_bytes = error.needed_bytes,
                                                       .available_bytes = error.available_bytes});
}

/// Between two tensors of a load: what came in the meantime, and a step of the models that are there.
Result<> EngineThread::serve_meanwhile() {
  bool took_commands = false;
  while (auto command = next_command()) {
    std::visit([this](auto& message) { handle(message); }, *command);
    took_commands = true;
  }
  if (took_commands) outbox_.wake();
  models_.step();
  flush_round();
  {
    const std::lock_guard lock(mutex_);
    load_cancelled_ = load_cancelled_ || stopping_;
  }
  if (load_cancelled_) return Error{ErrorCode::kCancelled, "the load was cancelled"};
  return {};
}

void EngineThread::report_progress(std::string_view stage, uint64_t n_done, uint64_t n_total) {
  const auto now = Clock::now();
  if (n_done != 0 && n_done != n_total && now - last_progress_ < kProgressInterval) return;
  last_progress_ = now;
  send(wire::FrameType::kLoadProgress, wire::LoadProgress{.model_id = loading_.value_or(0),
                                                          .stage = std::string(stage),
                                                          .bytes_done = n_done,
                                                          .bytes_total = n_total});
}

void EngineThread::handle(const wire::Unload& request) {
  if (loading_ == request.model_id) {
    load_cancelled_ = true;  // kLoadFailed says when it is over
    return;
  }
  models_.unload(request.model_id);
  send(wire::FrameType::kUnloaded, wire::Unloaded{request.model_id});
}

void EngineThread::handle(wire::Submit& submission) { models_.submit(std::move(submission)); }

void EngineThread::handle(const wire::Cancel& cancel) { models_.cancel(RequestId{cancel.request_id}); }

void EngineThread::handle(const wire::Ping& ping) {
  send(wire::FrameType::kPong, wire::Pong{.nonce = ping.nonce, .models = models_.stats()});
  // Reading and writing files can wait until nobody waits for it.
  if (loading_ || models_.has_work()) return;
  for (const wire::Selections& changed : models_.look_after_tuning())
    send(wire::FrameType::kSelections, changed);
}

}  // namespace halod
