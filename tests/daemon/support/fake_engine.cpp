#include "tests/daemon/support/fake_engine.h"

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
  asio::awaitable<std::string> wait_for_exit() override { co_return "was ended by the test"; }

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
    if (load_failure) return send(wire::encode(FrameType::kLoadFailed, *load_failure));
    send(wire::encode(FrameType::kLoadProgress, wire::LoadProgress{"weights", 1, 4}));
    if (load_by_itself) finish_load();
  } else if (frame.type == FrameType::kSubmit) {
    auto request = wire::decode<GenerationRequest>(frame).value();
    submitted.push_back(request);
    live_.emplace(request.request_id, std::move(request));
    if (dies_on_submit) return die();
    if (automatic) step(UINT32_MAX);
  } else if (frame.type == FrameType::kCancel) {
    const auto request_id = wire::decode<wire::Cancel>(frame).value().request_id;
    cancelled.push_back(request_id);
    live_.erase(request_id);
  } else if (frame.type == FrameType::kPing) {
    ++n_pings;
    if (answers_pings)
      send(
          wire::encode(FrameType::kPong, wire::Pong{.nonce = wire::decode<wire::Ping>(frame).value().nonce}));
  } else if (frame.type == FrameType::kShutdown) {
    got_shutdown = true;
    die();
  }
}

void FakeEngine::finish_load() { send(wire::encode(wire::FrameType::kLoaded, loaded)); }

void FakeEngine::step(uint32_t n, std::optional<uint64_t> request_id) {
  std::vector<uint64_t> ids;
  for (const auto& [id, request] : live_) {
    if (!request_id || *request_id == id) ids.push_back(id);
  }
  for (const uint64_t id : ids) {
    for (uint32_t i = 0; i < n && advance(live_.at(id)); ++i) {
    }
    const GenerationRequest& request = live_.at(id);
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
}

}  // namespace halod
