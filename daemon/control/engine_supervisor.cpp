#include "daemon/control/engine_supervisor.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "daemon/control/admission.h"

namespace halod {

namespace asio = boost::asio;
using std::chrono::steady_clock;

namespace {

/// An engine that dies so often before its model was ever ready will not do better later: say so and exit.
constexpr uint32_t kMaxDeathsBeforeReady = 5;
/// A well-behaved engine exits in milliseconds; one in a long step is not waited for.
constexpr std::chrono::seconds kExitTimeout{2};

constexpr auto kAwaitTuple = asio::as_tuple(asio::use_awaitable);

double seconds_since(steady_clock::time_point start) {
  return std::chrono::duration<double>(steady_clock::now() - start).count();
}

}  // namespace

EngineSupervisor::EngineSupervisor(Setup setup)
    : setup_(std::move(setup)),
      requests_(setup_.config.max_deaths_per_request),
      delay_(setup_.executor),
      idle_(setup_.executor),
      run_ended_(setup_.executor) {}

EngineSupervisor::~EngineSupervisor() { *alive_ = false; }

// ---------------------------------------------------------------------------------------------------- the
// engine's life

asio::awaitable<Result<>> EngineSupervisor::run() {
  running_ = true;
  Result<> result;
  while (!stopping()) {
    result = co_await run_engine();
    if (!result || stopping()) break;
    co_await back_off();
  }
  if (!result) set_readiness(EngineState::kFailed, result.error().message);
  running_ = false;
  run_ended_.cancel();
  co_return result;
}

asio::awaitable<Result<>> EngineSupervisor::run_engine() {
  using namespace asio::experimental::awaitable_operators;
  set_readiness(EngineState::kStarting, "the engine is starting");
  Result<std::unique_ptr<EngineProcess>> launched = setup_.launcher.launch();
  if (!launched) {
    if (!model_) co_return launched.error();
    co_return engine_ended(launched.error(), "could not be started");
  }
  process_ = std::move(*launched);
  link_ = std::make_shared<EngineLink>(process_->take_socket());
  load_failure_.reset();
  const std::variant<Error, Error> ended = co_await (read_frames() || watch_heartbeat());
  const Error reason = std::visit([](const Error& error) { return error; }, ended);
  link_->close();
  link_.reset();
  // It may have closed its socket and live on, or hang: two engines must never share the GPU.
  process_->kill();
  const std::string how = co_await process_->wait_for_exit();
  const int64_t pid = process_->pid();
  process_.reset();
  spdlog::log(stopping() ? spdlog::level::info : spdlog::level::err, "engine {} {} ({})", pid, how,
              reason.message);
  if (stopping()) co_return Result<>();
  co_return engine_ended(reason, how);
}

Result<> EngineSupervisor::engine_ended(const Error& reason, const std::string& how) {
  setup_.metrics.engine_deaths.Increment();
  if (load_failure_ && !model_) return *load_failure_;
  const bool was_healthy =
      readiness_.ready() && steady_clock::now() - ready_since_ >= setup_.config.healthy_after;
  n_deaths_in_a_row_ = was_healthy ? 1 : n_deaths_in_a_row_ + 1;
  if (!model_ && n_deaths_in_a_row_ >= kMaxDeathsBeforeReady) {
    return Error{ErrorCode::kUnavailable,
                 fmt::format("the engine ended {} times before the model was loaded; the last one {} ({})",
                             n_deaths_in_a_row_, how, reason.message)};
  }
  const uint32_t max_sequences = model_ ? model_->max_sequences : 0;
  for (LiveRequest& request : requests_.engine_died(max_sequences)) {
    spdlog::error("request {} is given up: it was running at {} engine deaths in a row",
                  request.request.request_id, request.n_deaths);
    const std::string message = fmt::format(
        "the engine died {} times in a row while it ran this request, which is given up", request.n_deaths);
    fail(std::move(request), ErrorCode::kInternal, message);
  }
  set_readiness(EngineState::kRestarting,
                load_failure_ ? fmt::format("the model cannot be loaded again: {}", load_failure_->message)
                              : fmt::format("the engine {} and is being restarted", how));
  return {};
}

asio::awaitable<void> EngineSupervisor::back_off() {
  const uint32_t n_doublings = std::min(n_deaths_in_a_row_ - 1, 30U);
  const std::chrono::milliseconds delay = std::min<std::chrono::milliseconds>(
      setup_.config.restart_delay_min * (1LL << n_doublings), setup_.config.restart_delay_max);
  spdlog::info("the engine is restarted in {} ms; {} requests wait for it", delay.count(), requests_.size());
  delay_.expires_after(delay);
  co_await delay_.async_wait(kAwaitTuple);
}

asio::awaitable<void> EngineSupervisor::shutdown(std::chrono::milliseconds timeout) {
  set_readiness(EngineState::kStopping, "halod is stopping");
  delay_.cancel();
  // Without an engine nothing will finish, however long we wait.
  if (!requests_.empty() && link_) {
    spdlog::info("waiting up to {} ms for {} requests", timeout.count(), requests_.size());
    idle_.expires_after(timeout);
    co_await idle_.async_wait(kAwaitTuple);
  }
  for (LiveRequest& request : requests_.take_all()) {
    fail(std::move(request), ErrorCode::kUnavailable,
         "halod is stopping and this request did not finish in time");
  }
  if (!running_) co_return;
  if (link_) link_->send(wire::encode(wire::FrameType::kShutdown, wire::Empty{}));
  run_ended_.expires_after(kExitTimeout);
  co_await run_ended_.async_wait(kAwaitTuple);
  if (running_ && process_) {
    process_->kill();
    run_ended_.expires_after(kExitTimeout);
    co_await run_ended_.async_wait(kAwaitTuple);
  }
}

// -------------------------------------------------------------------------------------------------------------
// frames

asio::awaitable<Error> EngineSupervisor::read_frames() {
  for (;;) {
    const Result<wire::Frame> frame = co_await link_->read();
    if (!frame) co_return frame.error();
    last_heard_ = steady_clock::now();
    if (const Result<> handled = handle(*frame); !handled) co_return handled.error();
  }
}

asio::awaitable<Error> EngineSupervisor::watch_heartbeat() {
  asio::steady_timer timer(setup_.executor);
  for (wire::Ping ping;;) {
    timer.expires_after(setup_.config.heartbeat_interval);
    co_await timer.async_wait(asio::use_awaitable);
    // While it loads, the engine thread answers nothing, and how long that takes is the disk's business.
    if (!model_ || (!readiness_.ready() && !stopping())) continue;
    const auto silence = steady_clock::now() - last_heard_;
    if (silence > setup_.config.heartbeat_timeout) {
      co_return Error{ErrorCode::kUnavailable, fmt::format("no heartbeat for {:.1f} s",
                                                           std::chrono::duration<double>(silence).count())};
    }
    ++ping.nonce;
    link_->send(wire::encode(wire::FrameType::kPing, ping));
  }
}

Result<> EngineSupervisor::handle(const wire::Frame& frame) {
  const auto with = [&frame]<class Message>(std::in_place_type_t<Message>, auto&& use) -> Result<> {
    Result<Message> message = wire::decode<Message>(frame);
    if (!message) return message.error();
    if constexpr (std::is_void_v<decltype(use(std::move(*message)))>) {
      use(std::move(*message));
      return {};
    } else {
      return use(std::move(*message));
    }
  };
  using wire::FrameType;
  switch (frame.type) {
    case FrameType::kHello:
      return with(std::in_place_type<wire::Hello>, [this](const wire::Hello& hello) {
        spdlog::info("engine {} (version {}) started", hello.pid, hello.engine_version);
        if (!stopping()) set_readiness(EngineState::kLoading, "the model is being loaded");
        link_->send(wire::encode(FrameType::kLoad, setup_.model));
      });
    case FrameType::kLoadProgress:
      return with(std::in_place_type<wire::LoadProgress>,
                  [this](const wire::LoadProgress& progress) { handle_progress(progress); });
    case FrameType::kLoaded:
      return with(std::in_place_type<wire::ModelLoaded>,
                  [this](wire::ModelLoaded loaded) { return handle_loaded(std::move(loaded)); });
    case FrameType::kLoadFailed:
      return with(std::in_place_type<wire::Failure>, [this](wire::Failure failure) -> Result<> {
        load_failure_ = Error{error_code_from(failure.error_code), std::move(failure.message), "model.path"};
        return *load_failure_;
      });
    case FrameType::kTokens:
      return with(std::in_place_type<wire::Tokens>, [this](wire::Tokens tokens) -> Result<> {
        for (GeneratedToken& token : tokens.tokens) {
          if (auto handled = handle_token(std::move(token)); !handled) return handled;
        }
        return {};
      });
    case FrameType::kFinished:
      return with(std::in_place_type<RequestFinished>,
                  [this](RequestFinished finished) { handle_finished(std::move(finished)); });
    case FrameType::kPong:
      return with(std::in_place_type<wire::Pong>,
                  [this](const wire::Pong& pong) { setup_.metrics.record_heartbeat(pong); });
    default:
      return Error{ErrorCode::kInternal, fmt::format("engine protocol: frame type {} is none of the engine's",
                                                     static_cast<int>(frame.type))};
  }
}

void EngineSupervisor::handle_progress(const wire::LoadProgress& progress) {
  if (stopping()) return;
  if (progress.stage == "warm-up")
    return set_readiness(EngineState::kWarming, "the model is warming up", 100);
  const double fraction = progress.bytes_total == 0 ? 0
                                                    : static_cast<double>(progress.bytes_done) /
                                                          static_cast<double>(progress.bytes_total);
  const int percent = static_cast<int>(100 * std::clamp(fraction, 0.0, 1.0));
  set_readiness(EngineState::kLoading, fmt::format("the model is being loaded: {} %", percent), percent);
}

Result<> EngineSupervisor::handle_loaded(wire::ModelLoaded loaded) {
  if (loaded.context_length == 0 || loaded.vocab_size == 0 || loaded.max_sequences == 0) {
    return Error{ErrorCode::kInternal,
                 "engine protocol: a loaded model without context, vocabulary or sequences"};
  }
  spdlog::info(
      "model loaded in {:.2f} s: {} on {} ({}), context {} tokens, {} sequences, {:.1f} MB of weights, "
      "{:.1f} MB of KV cache",
      loaded.load_seconds, loaded.architecture, loaded.backend, loaded.device, loaded.context_length,
      loaded.max_sequences, static_cast<double>(loaded.weight_bytes) / 1e6,
      static_cast<double>(loaded.kv_cache_bytes) / 1e6);
  model_ = std::move(loaded);
  ready_since_ = steady_clock::now();
  if (!stopping()) set_readiness(EngineState::kReady, "ready", 100);
  if (!requests_.empty()) {
    spdlog::info("resuming {} requests", requests_.size());
    setup_.metrics.requests_resumed.Increment(static_cast<double>(requests_.size()));
  }
  submit_waiting();
  return {};
}

Result<> EngineSupervisor::handle_token(GeneratedToken token) {
  LiveRequest* request = requests_.find(token.request_id);
  if (!request || !request->in_engine) return {};  // cancelled while it was on its way
  const size_t expected = request->request.generated.size();
  if (token.answer_idx != expected || expected >= request->request.max_tokens) {
    return Error{ErrorCode::kInternal,
                 fmt::format("engine protocol: request {} got token {} where {} of {} was due",
                             token.request_id, token.answer_idx, expected, request->request.max_tokens)};
  }
  if (expected == 0) setup_.metrics.time_to_first_token_seconds.Observe(seconds_since(request->accepted_at));
  setup_.metrics.generated_tokens.Increment();
  const bool cleared = RequestTable::record_token(*request, token.token_id);
  request->queue->push({request->choice_idx, std::move(token)});
  if (cleared) submit_waiting();
  return {};
}

void EngineSupervisor::handle_finished(RequestFinished finished) {
  LiveRequest* request = requests_.find(finished.request_id);
  if (!request || !request->in_engine) return;
  setup_.metrics.request_seconds.Observe(seconds_since(request->accepted_at));
  setup_.metrics.prompt_tokens.Increment(finished.n_prompt_tokens);
  setup_.metrics.cached_prompt_tokens.Increment(finished.n_cached_tokens);
  const uint64_t request_id = finished.request_id;
  request->queue->push({request->choice_idx, std::move(finished)});
  forget(request_id);
}

// -----------------------------------------------------------------------------------------------------------
// requests

Result<Generation> EngineSupervisor::submit(std::vector<GenerationRequest> requests) {
  HALOD_ASSERT(!requests.empty());
  if (!readiness_.ready() || !model_) {
    return Error{ErrorCode::kUnavailable, fmt::format("not ready: {}; retry later", readiness_.reason)};
  }
  const AdmissionLimits limits{.n_unfinished = requests_.size(),
                               .max_requests = setup_.max_requests,
                               .context_length = model_->context_length,
                               .vocab_size = model_->vocab_size};
  if (auto admitted = admit(requests, limits); !admitted) {
    setup_.metrics.requests_refused.Increment();
    return admitted.error();
  }
  auto queue = std::make_shared<GenerationQueue>(setup_.executor);
  std::vector<uint64_t> ids;
  for (GenerationRequest& request : requests) {
    request.request_id = next_request_id_++;
    ids.push_back(request.request_id);
    const auto choice_idx = static_cast<uint32_t>(ids.size() - 1);
    requests_.add({.request = std::move(request),
                   .queue = queue,
                   .choice_idx = choice_idx,
                   .accepted_at = steady_clock::now()});
  }
  setup_.metrics.requests_unfinished.Set(static_cast<double>(requests_.size()));
  submit_waiting();
  const size_t n_choices = ids.size();
  return Generation(std::move(queue), n_choices,
                    [this, alive = alive_, ids = std::move(ids)](uint32_t choice_idx) {
                      if (*alive) cancel(ids[choice_idx]);
                    });
}

void EngineSupervisor::submit_waiting() {
  if (!link_ || !readiness_.ready()) return;
  for (const GenerationRequest* request : requests_.submittable())
    link_->send(wire::encode(wire::FrameType::kSubmit, *request));
}

void EngineSupervisor::cancel(uint64_t request_id) {
  const LiveRequest* request = requests_.find(request_id);
  if (!request) return;
  if (link_ && request->in_engine)
    link_->send(wire::encode(wire::FrameType::kCancel, wire::Cancel{request_id}));
  setup_.metrics.requests_cancelled.Increment();
  forget(request_id);
}

void EngineSupervisor::forget(uint64_t request_id) {
  requests_.erase(request_id);
  setup_.metrics.requests_unfinished.Set(static_cast<double>(requests_.size()));
  if (requests_.empty()) idle_.cancel();
  submit_waiting();  // it may have been the suspect that others wait behind
}

void EngineSupervisor::fail(LiveRequest request, ErrorCode code, std::string message) {
  RequestFinished finished{.request_id = request.request.request_id,
                           .reason = FinishReason::error,
                           .error_code = std::string(to_string(code)),
                           .error_message = std::move(message),
                           .n_prompt_tokens = static_cast<uint32_t>(request.request.prompt.size()),
                           .n_generated_tokens = static_cast<uint32_t>(request.request.generated.size())};
  request.queue->push({request.choice_idx, std::move(finished)});
  setup_.metrics.requests_unfinished.Set(static_cast<double>(requests_.size()));
}

void EngineSupervisor::set_readiness(EngineState state, std::string reason, int percent) {
  const bool stays = stopping() || (state == readiness_.state && reason == readiness_.reason);
  if (stays) return;
  if (state != readiness_.state)
    spdlog::info("engine: {} -> {}: {}", to_string(readiness_.state), to_string(state), reason);
  readiness_ = {state, std::move(reason), percent};
  setup_.metrics.engine_ready.Set(readiness_.ready() ? 1 : 0);
  if (setup_.on_readiness) setup_.on_readiness(readiness_);
}

}  // namespace halod
