#include "runtime/engine/engine_thread.h"

#include <fmt/format.h>
#include <pthread.h>
#include <spdlog/spdlog.h>

#include <exception>
#include <utility>

namespace halod {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kProgressInterval{100};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

EngineThread::EngineThread(ModelFactory factory, FrameOutbox& outbox)
    : factory_(std::move(factory)), outbox_(outbox), thread_([this] { run(); }) {}

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
    if (engine_) engine_->step();
    flush_round();
  }
}

/// False when the thread shall end.
bool EngineThread::wait_for_work() {
  std::unique_lock lock(mutex_);
  if (!engine_ || !engine_->has_work()) wake_.wait(lock, [this] { return stopping_ || !inbox_.empty(); });
  return !stopping_;
}

std::optional<EngineThread::Command> EngineThread::next_command() {
  const std::lock_guard lock(mutex_);
  if (inbox_.empty()) return std::nullopt;
  QueuedCommand next = std::move(inbox_.front());
  inbox_.pop_front();
  n_queued_bytes_.fetch_sub(next.n_bytes, std::memory_order_relaxed);
  return std::move(next.command);
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
  if (engine_) {
    send(wire::FrameType::kLoadFailed,
         wire::Failure{std::string(to_string(ErrorCode::kInvalidArgument)),
                       "this engine has a model already; start another engine"});
    return;
  }
  const auto start = Clock::now();
  last_progress_ = {};
  auto loaded = factory_(request, [this](uint64_t n_done, uint64_t n_total) {
    report_progress("weights", n_done, n_total);
    answer_pings_while_loading();
  });
  if (!loaded) {
    const Error error = loaded.error();
    spdlog::error("{} cannot be loaded: {}", request.path, error.message);
    send(wire::FrameType::kLoadFailed, wire::Failure{std::string(to_string(error.code)), error.message});
    return;
  }
  start_engine(request, std::move(*loaded), seconds_since(start));
}

void EngineThread::start_engine(const wire::LoadModel& request, LoadedModel loaded,
                                double load_seconds_so_far) {
  const auto start = Clock::now();
  loaded_ = std::move(loaded);
  Model& model = *loaded_->model;
  engine_ = std::make_unique<Engine>(model, loaded_->engine_options, sink_);
  report_progress("warm-up", 0, 1);
  engine_->warm_up();
  report_progress("warm-up", 1, 1);
  const wire::ModelLoaded message{
      .architecture = model.config().architecture,
      .backend = loaded_->backend_name,
      .device = loaded_->device_name,
      .vocab_size = static_cast<uint32_t>(model.config().vocab_size),
      .context_length = static_cast<uint32_t>(engine_->context_length()),
      .max_sequences = static_cast<uint32_t>(loaded_->engine_options.max_sequences),
      .kv_cache_tokens = static_cast<uint64_t>(model.n_kv_pages() * kKvPageTokens),
      .weight_bytes = model.weight_bytes(),
      .kv_cache_bytes = static_cast<uint64_t>(model.n_kv_pages()) * model.kv_page_bytes(),
      .scratch_bytes = model.scratch_bytes(),
      .load_seconds = load_seconds_so_far + seconds_since(start)};
  spdlog::info("{} is ready on {} after {:.1f} s", request.path, message.device, message.load_seconds);
  send(wire::FrameType::kLoaded, message);
}

void EngineThread::report_progress(std::string_view stage, uint64_t n_done, uint64_t n_total) {
  const auto now = Clock::now();
  if (n_done != 0 && n_done != n_total && now - last_progress_ < kProgressInterval) return;
  last_progress_ = now;
  send(wire::FrameType::kLoadProgress, wire::LoadProgress{std::string(stage), n_done, n_total});
}

void EngineThread::answer_pings_while_loading() {
  std::vector<wire::Ping> pings;
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(inbox_, [&](const QueuedCommand& queued) {
      const auto* ping = std::get_if<wire::Ping>(&queued.command);
      if (ping == nullptr) return false;
      pings.push_back(*ping);
      n_queued_bytes_.fetch_sub(queued.n_bytes, std::memory_order_relaxed);
      return true;
    });
  }
  for (const wire::Ping& ping : pings) handle(ping);
}

void EngineThread::handle(GenerationRequest& request) {
  if (!engine_) {
    sink_.on_finished({.request_id = request.request_id,
                       .reason = FinishReason::error,
                       .error_code = std::string(to_string(ErrorCode::kUnavailable)),
                       .error_message = "no model is loaded yet; retry when it is",
                       .n_prompt_tokens = static_cast<uint32_t>(request.prompt.size()),
                       .n_generated_tokens = static_cast<uint32_t>(request.generated.size())});
    return;
  }
  if (engine_->contains(RequestId{request.request_id})) {
    // The first one goes on; an answer to the second would be taken for the first one's end.
    spdlog::error("request {} was submitted twice; the second one is ignored", request.request_id);
    return;
  }
  engine_->submit(std::move(request));
}

void EngineThread::handle(const wire::Cancel& cancel) {
  if (engine_) engine_->cancel(RequestId{cancel.request_id});
}

void EngineThread::handle(const wire::Ping& ping) {
  wire::Pong pong{.nonce = ping.nonce};
  if (engine_) {
    const EngineStats stats = engine_->stats();
    pong.n_running = static_cast<uint32_t>(stats.n_running);
    pong.n_waiting = static_cast<uint32_t>(stats.n_waiting);
    pong.kv_pages_used = static_cast<uint64_t>(stats.n_pages_used);
    pong.kv_pages_total = static_cast<uint64_t>(stats.n_pages);
    pong.n_prompt_tokens = stats.n_prompt_tokens;
    pong.n_generated_tokens = stats.n_generated_tokens;
    pong.n_steps = stats.n_steps;
    pong.busy_seconds = stats.busy_seconds;
  }
  send(wire::FrameType::kPong, pong);
}

}  // namespace halod
