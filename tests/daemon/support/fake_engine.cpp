#include "tests/daemon/support/fake_engine.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <utility>

namespace halod {

namespace asio = boost::asio;

class FakeEngine::Process : public EngineProcess {
 public:
  Process(FakeEngine& engine, asio::local::stream_protocol::socket socket)
      : engine_(engine), socket_(std::move(socket)) {}
  int64_t pid() const override { return engine_.n_launched; }
  asio::local::stream_protocol::socket take_socket() override { return std::move(socket_); }
  void kill() override { engine_.die(); }
  asio::awaitable<ProcessEnd> wait_for_exit() override {
    co_return ProcessEnd{.how = "was ended by the test", .by_sigkill = engine_.was_killed};
  }

 private:
  FakeEngine& engine_;
  asio::local::stream_protocol::socket socket_;
};

Result<std::unique_ptr<EngineProcess>> FakeEngine::launch() {
  if (!can_launch) return Error{ErrorCode::kNotFound, "no such program: fake"};
  ++n_launched;
  asio::local::stream_protocol::socket ours(executor_);
  asio::local::stream_protocol::socket theirs(executor_);
  asio::local::connect_pair(ours, theirs);
  link_ = std::make_shared<EngineLink>(std::move(ours));
  live_.clear();
  asio::co_spawn(executor_, serve(link_), asio::detached);
  send(wire::encode(wire::FrameType::kHello, wire::Hello{"fake", n_launched}));
  return std::unique_ptr<EngineProcess>(std::make_unique<Process>(*this, std::move(theirs)));
}

asio::awaitable<void> FakeEngine::serve(std::shared_ptr<EngineLink> link) {
  for (;;) {
    const Result<wire::Frame> frame = co_await link->read();
    if (!frame || link != link_) break;
    handle(*frame);
  }
}

void FakeEngine::send(std::string frame) {
  if (link_) link_->send(std::move(frame));
}

void FakeEngine::handle(const wire::Frame& frame) {
  using wire::FrameType;
  if (frame.type == FrameType::kLoad) {
    begin_load(wire::decode<wire::LoadModel>(frame).value());
  } else if (frame.type == FrameType::kUnload) {
    const uint32_t model_id = wire::decode<wire::Unload>(frame).value().model_id;
    if (loading_ && loading_->model_id == model_id) {
      loading_.reset();
      return send(
          wire::encode(FrameType::kLoadFailed, wire::LoadFailure{model_id, "cancelled", "cancelled"}));
    }
    resident_.erase(model_id);
    std::erase_if(live_, [model_id](const auto& entry) { return entry.second.model_id == model_id; });
    send(wire::encode(FrameType::kUnloaded, wire::Unloaded{model_id}));
  } else if (frame.type == FrameType::kSubmit) {
    auto submission = wire::decode<wire::Submit>(frame).value();
    HALOD_ASSERT(resident_.contains(submission.model_id));
    submitted.push_back(submission.request);
    live_.emplace(submission.request.request_id, Live{submission.model_id, submission.request});
    if (dies_on_submit) return die();
    if (automatic) step(UINT32_MAX);
  } else if (frame.type == FrameType::kCancel) {
    const auto request_id = wire::decode<wire::Cancel>(frame).value().request_id;
    cancelled.push_back(request_id);
    live_.erase(request_id);
  } else if (frame.type == FrameType::kPing) {
    ++n_pings;
    if (!answers_pings) return;
    wire::Pong pong{.nonce = wire::decode<wire::Ping>(frame).value().nonce};
    for (const auto& [model_id, path] : resident_) pong.models.push_back({.model_id = model_id});
    send(wire::encode(FrameType::kPong, pong));
  } else if (frame.type == FrameType::kShutdown) {
    got_shutdown = true;
    die();
  }
}

void FakeEngine::begin_load(wire::LoadModel request) {
  loads.push_back(request.path);
  uint64_t needed = memory_needed[request.path];
  for (const auto& [model_id, path] : resident_) needed += memory_needed[path];
  if (load_failure || needed > memory) {
    auto failure = load_failure.value_or(wire::LoadFailure{
        .error_code = "out_of_memory",
        .message = "too large",
        .needed_bytes = memory_needed[request.path],
        .available_bytes = memory - std::min(memory, needed - memory_needed[request.path])});
    failure.model_id = request.model_id;
    return send(wire::encode(wire::FrameType::kLoadFailed, failure));
  }
  if (std::exchange(next_failure_after_room, false)) {
    const wire::LoadFailure damaged{request.model_id, "corrupt_file", "damaged"};
    return send(wire::encode(wire::FrameType::kLoadFailed, damaged));
  }
  loading_ = std::move(request);
  send(wire::encode(wire::FrameType::kLoadProgress, wire::LoadProgress{loading_->model_id, "weights", 1, 4}));
  if (load_by_itself) finish_load();
}

void FakeEngine::finish_load() {
  wire::ModelLoaded message = loaded;
  message.model_id = loading_->model_id;
  message.weight_bytes = memory_needed[loading_->path];
  resident_[loading_->model_id] = loading_->path;
  loading_.reset();
  send(wire::encode(wire::FrameType::kLoaded, message));
}

std::vector<std::string> FakeEngine::resident() const {
  std::vector<std::string> paths;
  for (const auto& [model_id, path] : resident_) paths.push_back(path);
  return paths;
}

void FakeEngine::step(uint32_t n, std::optional<uint64_t> request_id) {
  std::vector<uint64_t> ids;
  for (const auto& [id, live] : live_) {
    if (!request_id || *request_id == id) ids.push_back(id);
  }
  for (const uint64_t id : ids) {
    for (uint32_t i = 0; i < n && advance(live_.at(id).request); ++i) {
    }
    const GenerationRequest& request = live_.at(id).request;
    const bool stopped = !request.generated.empty() && request.generated.back() == eos;
    if (!stopped && request.generated.size() < request.max_tokens) continue;
    send(
        wire::encode(wire::FrameType::kFinished,
                     RequestFinished{.request_id = id,
                                     .reason = stopped ? FinishReason::stop : FinishReason::length,
                                     .n_prompt_tokens = static_cast<uint32_t>(request.prompt.size()),
                                     .n_cached_tokens = 1,
                                     .n_generated_tokens = static_cast<uint32_t>(request.generated.size())}));
    live_.erase(id);
  }
}

/// One token; false when the answer is over.
bool FakeEngine::advance(GenerationRequest& request) {
  const auto answer_idx = static_cast<uint32_t>(request.generated.size());
  if (answer_idx >= request.max_tokens || (answer_idx > 0 && request.generated.back() == eos)) return false;
  const int32_t token_id = next_token(request, answer_idx);
  request.generated.push_back(token_id);
  GeneratedToken token{
      .request_id = request.request_id, .answer_idx = answer_idx, .token_id = token_id, .logprob = -0.5F};
  if (request.sampling.n_logprobs > 0) token.top_logprobs = {{token_id, -0.5F}, {'z', -1.5F}};
  send(wire::encode(wire::FrameType::kTokens, wire::Tokens{{std::move(token)}}));
  return true;
}

void FakeEngine::die() {
  if (!link_) return;
  std::exchange(link_, nullptr)->close();
  live_.clear();
  resident_.clear();
  loading_.reset();
}

}  // namespace halod
