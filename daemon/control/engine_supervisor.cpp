#include "daemon/control/engine_supervisor.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>
#include <variant>

#include "base/log.h"
#include "daemon/control/await_tuple.h"
#include "daemon/control/log_events.h"

namespace halod {

namespace asio = boost::asio;
using std::chrono::steady_clock;

namespace {

/// An engine that dies so often before it ever did its work will not do better later: say so and exit.
constexpr uint32_t kMaxDeathsBeforeWork = 5;
/// A well-behaved engine exits in milliseconds; one in a long step is not waited for.
constexpr std::chrono::seconds kExitTimeout{2};

}  // namespace

EngineSupervisor::EngineSupervisor(Setup setup)
    : setup_(std::move(setup)), delay_(setup_.executor), run_ended_(setup_.executor) {}

asio::awaitable<Result<>> EngineSupervisor::run() {
  running_ = true;
  Result<> result;
  while (!stopping_) {
    result = co_await run_engine();
    if (!result || stopping_) break;
    co_await back_off();
  }
  running_ = false;
  run_ended_.cancel();
  co_return result;
}

asio::awaitable<Result<>> EngineSupervisor::run_engine() {
  using namespace asio::experimental::awaitable_operators;
  said_hello_ = false;
  last_heard_ = steady_clock::now();
  Result<std::unique_ptr<EngineProcess>> launched = setup_.launcher.launch();
  if (!launched) {
    if (!ever_worked_) co_return launched.error();
    co_return engine_ended(launched.error(), {.how = "could not be started"});
  }
  process_ = std::move(*launched);
  link_ = std::make_shared<EngineLink>(process_->take_socket());
  const std::variant<Error, Error> ended = co_await (read_frames() || watch_heartbeat());
  const Error reason = std::visit([](const Error& error) { return error; }, ended);
  link_->close();
  link_.reset();
  // It may have closed its socket and live on, or hang: two engines must never share the GPU.
  process_->kill();
  const ProcessEnd end = co_await process_->wait_for_exit();
  const int64_t pid = process_->pid();
  process_.reset();
  log_end(pid, end, reason);
  if (stopping_) co_return Result<>();
  co_return engine_ended(reason, end);
}

void EngineSupervisor::log_end(int64_t pid, const ProcessEnd& end, const Error& reason) const {
  const LogFields fields{{log_events::kEnginePid, std::to_string(pid)}};
  if (stopping_) return spdlog::info("engine {} {} ({})", pid, end.how, reason.message);
  const LogFields event{{log_events::kMessageId, log_events::kEngineDied}};
  spdlog::error("engine {} {} ({})", pid, end.how, reason.message);
}

Result<> EngineSupervisor::engine_ended(const Error& reason, const ProcessEnd& end) {
  setup_.metrics.engine_deaths.Increment();
  const bool was_healthy = worked_since_ != steady_clock::time_point{} &&
                           steady_clock::now() - worked_since_ >= setup_.config.healthy_after;
  worked_since_ = {};
  n_deaths_in_a_row_ = was_healthy ? 1 : n_deaths_in_a_row_ + 1;
  // We kill it ourselves when it hangs or talks nonsense; then `reason` is something else than a closed
  // socket.
  setup_.events.on_engine_ended(end.how, end.by_sigkill && reason.code == ErrorCode::kIo);
  if (!ever_worked_ && n_deaths_in_a_row_ >= kMaxDeathsBeforeWork) {
    return Error{ErrorCode::kUnavailable,
                 fmt::format("the engine ended {} times before a model was loaded; the last one {} ({})",
                             n_deaths_in_a_row_, end.how, reason.message)};
  }
  return {};
}

void EngineSupervisor::worked() {
  ever_worked_ = true;
  if (worked_since_ == steady_clock::time_point{}) worked_since_ = steady_clock::now();
}

asio::awaitable<void> EngineSupervisor::back_off() {
  const uint32_t n_doublings = std::min(n_deaths_in_a_row_ - 1, 30U);
  const std::chrono::milliseconds delay = std::min<std::chrono::milliseconds>(
      setup_.config.restart_delay_min * (1LL << n_doublings), setup_.config.restart_delay_max);
  spdlog::info("the engine is restarted in {} ms", delay.count());
  delay_.expires_after(delay);
  co_await delay_.async_wait(kAwaitTuple);
}

void EngineSupervisor::send(std::string frame) {
  if (link_) link_->send(std::move(frame));
}

asio::awaitable<void> EngineSupervisor::stop() {
  stopping_ = true;
  delay_.cancel();
  if (!running_) co_return;
  send(wire::encode(wire::FrameType::kShutdown, wire::Empty{}));
  run_ended_.expires_after(kExitTimeout);
  co_await run_ended_.async_wait(kAwaitTuple);
  if (running_ && process_) {
    process_->kill();
    run_ended_.expires_after(kExitTimeout);
    co_await run_ended_.async_wait(kAwaitTuple);
  }
}

asio::awaitable<Error> EngineSupervisor::read_frames() {
  for (;;) {
    const Result<wire::Frame> frame = co_await link_->read();
    if (!frame) co_return frame.error();
    last_heard_ = steady_clock::now();
    if (const Result<> handled = handle(*frame); !handled) co_return handled.error();
  }
}

Result<> EngineSupervisor::handle(const wire::Frame& frame) {
  if (frame.type != wire::FrameType::kHello) return setup_.events.on_engine_frame(frame);
  const Result<wire::Hello> hello = wire::decode<wire::Hello>(frame);
  if (!hello) return hello.error();
  spdlog::info("engine {} (version {}) started", hello->pid, hello->engine_version);
  said_hello_ = true;
  setup_.events.on_engine_started();
  return {};
}

asio::awaitable<Error> EngineSupervisor::watch_heartbeat() {
  asio::steady_timer timer(setup_.executor);
  for (wire::Ping ping;;) {
    timer.expires_after(setup_.config.heartbeat_interval);
    co_await timer.async_wait(asio::use_awaitable);
    const auto silent_for = silence();
    if (silent_for > setup_.config.heartbeat_timeout) {
      co_return Error{
          ErrorCode::kUnavailable,
          fmt::format("no heartbeat for {:.1f} s", std::chrono::duration<double>(silent_for).count())};
    }
    if (!said_hello_) continue;
    ++ping.nonce;
    send(wire::encode(wire::FrameType::kPing, ping));
  }
}

}  // namespace halod
