#include "runtime/engine/engine_server.h"

#include <gtest/gtest.h>

#include <future>
#include <stdexcept>
#include <thread>
#include <utility>

#include "tests/runtime/engine/engine_fixture.h"
#include "tests/runtime/engine/wire_client.h"

namespace halod {
namespace {

using testing_support::answer_alone;
using testing_support::FakeModel;
using testing_support::make_request;
using testing_support::WireClient;
using wire::FrameType;

constexpr int64_t kPages = 64;

Result<LoadedModel> load_fake(const wire::LoadModel& request, const ResidentMemory&,
                              const LoadCallbacks& callbacks) {
  if (request.path != "fake") return Error{ErrorCode::kNotFound, "there is no " + request.path};
  for (uint64_t done = 0; done <= 1000; ++done) {
    if (auto meanwhile = callbacks.between_tensors(); !meanwhile) return meanwhile.error();
    callbacks.on_bytes(done, 1000);
  }
  LoadedModel loaded;
  loaded.engine_options = {.context_length = 256, .max_sequences = 4, .prefill_chunk = 32};
  loaded.model = std::make_unique<FakeModel>(
      FakeModel::Options{.n_kv_pages = kPages, .max_batch_tokens = 32, .max_logit_rows = 4});
  loaded.backend_name = "fake";
  loaded.device_name = "imagination";
  return loaded;
}

/// A server on a thread of its own, and the client at the other end.
class AnEngineServer : public testing::Test {
 protected:
  void start(ModelFactory factory = load_fake) {
    std::array<int, 2> fds{};
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()), 0);
    client = std::make_unique<WireClient>(fds[0]);
    server_thread = std::thread([this, fd = fds[1], made_by = std::move(factory)]() mutable {
      EngineServer server(fd, std::move(made_by));
      exit = server.run();
    });
  }
  void load() {
    client->send(FrameType::kLoad, wire::LoadModel{.model_id = 1, .path = "fake"});
    ASSERT_EQ(client->read_until(FrameType::kLoaded).type, FrameType::kLoaded);
  }
  EngineExit wait_for_exit() {
    server_thread.join();
    return exit;
  }
  void TearDown() override {
    if (client) client->hang_up();
    if (server_thread.joinable()) server_thread.join();
  }

  std::unique_ptr<WireClient> client;
  std::thread server_thread;
  EngineExit exit{-1};
};

TEST_F(AnEngineServer, SaysHelloFirst) {
  start();
  const wire::Frame frame = client->read();
  EXPECT_EQ(frame.type, FrameType::kHello);
  const auto hello = wire::decode<wire::Hello>(frame).value();
  EXPECT_FALSE(hello.engine_version.empty());
  EXPECT_EQ(hello.pid, getpid());
}

TEST_F(AnEngineServer, ReportsItsProgressSparinglyAndThenWhatItLoaded) {
  start();
  client->send(FrameType::kLoad, wire::LoadModel{.model_id = 1, .path = "fake"});
  std::vector<wire::LoadProgress> progress;
  wire::Frame frame = client->read();
  for (; frame.type != FrameType::kLoaded && frame.type != FrameType{}; frame = client->read()) {
    if (frame.type == FrameType::kLoadProgress)
      progress.push_back(wire::decode<wire::LoadProgress>(frame).value());
  }
  const auto loaded = wire::decode<wire::ModelLoaded>(frame).value();
  EXPECT_EQ(loaded.architecture, "fake");
  EXPECT_EQ(loaded.backend, "fake");
  EXPECT_EQ(loaded.device, "imagination");
  EXPECT_EQ(loaded.vocab_size, 61U);
  EXPECT_EQ(loaded.context_length, 256U);
  EXPECT_EQ(loaded.max_sequences, 4U);
  EXPECT_EQ(loaded.kv_cache_tokens, static_cast<uint64_t>(kPages * kKvPageTokens));
  EXPECT_EQ(loaded.weight_bytes, 4096U);
  EXPECT_EQ(loaded.kv_cache_bytes, kPages * 1024U);
  EXPECT_EQ(loaded.scratch_bytes, 512U);
  ASSERT_GE(progress.size(), 4U);
  EXPECT_LT(progress.size(), 500U) << "1001 reports should not all be sent";
  EXPECT_EQ(progress.front().bytes_done, 0U);
  EXPECT_EQ(progress[progress.size() - 3].bytes_done, 1000U);
  EXPECT_EQ(progress[progress.size() - 3].stage, "weights");
  EXPECT_EQ(progress.back().stage, "warm-up");
}

TEST_F(AnEngineServer, AnswersRequestsAsTheEngineDoesAlone) {
  start();
  load();
  std::vector<GenerationRequest> requests;
  for (uint64_t id = 1; id <= 12; ++id) {
    requests.push_back(make_request(id, 5 + id * 11, 30, {.temperature = id % 2 == 0 ? 0.0F : 0.8F}));
    client->submit(requests.back());
  }
  size_t n_tokens = 0;
  for (const GenerationRequest& request : requests) {
    EXPECT_EQ(client->wait_for_end(request.request_id).reason, FinishReason::length);
    EXPECT_EQ(client->answers[request.request_id], answer_alone(request));
    n_tokens += client->answers[request.request_id].size();
  }
  EXPECT_LT(client->n_token_frames, n_tokens) << "the tokens of a step share one frame";
}

/// Loads until the future is ready, reporting progress all the while.
ModelFactory load_until(std::shared_future<void> released) {
  return [released = std::move(released)](const wire::LoadModel& request, const ResidentMemory& residents,
                                          const LoadCallbacks& callbacks) -> Result<LoadedModel> {
    while (request.path == "fake" &&
           released.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
      callbacks.on_bytes(500, 1000);
      if (auto meanwhile = callbacks.between_tensors(); !meanwhile) return meanwhile.error();
    }
    return load_fake(request, residents, callbacks);
  };
}

TEST_F(AnEngineServer, SendsTheTokensOfAStepInOneFrame) {
  std::promise<void> queued;
  start(load_until(queued.get_future().share()));
  client->send(FrameType::kLoad, wire::LoadModel{.model_id = 1, .path = "fake"});
  client->submit(make_request(1, 4, 5));
  client->submit(make_request(2, 4, 5));
  client->send(FrameType::kPing, wire::Ping{1});
  client->read_until(FrameType::kPong);  // so both requests are in the queue, and begin with the same step
  queued.set_value();
  client->wait_for_end(1);
  client->wait_for_end(2);
  EXPECT_EQ(client->n_token_frames, 5U);
}

TEST_F(AnEngineServer, RefusesRequestsUntilAModelIsLoaded) {
  start();
  client->submit(make_request(7, 3, 5));
  const RequestFinished& end = client->wait_for_end(7);
  EXPECT_EQ(end.reason, FinishReason::error);
  EXPECT_EQ(end.error_code, "unavailable");
}

TEST_F(AnEngineServer, StaysForAnotherTryAfterAFailedLoad) {
  start();
  client->send(FrameType::kLoad, wire::LoadModel{.model_id = 1, .path = "missing"});
  const auto failure = client->expect<wire::LoadFailure>(FrameType::kLoadFailed);
  EXPECT_EQ(failure.error_code, "not_found");
  EXPECT_EQ(failure.message, "there is no missing");
  load();
}

TEST_F(AnEngineServer, RefusesAModelIdThatIsTaken) {
  start();
  load();
  client->send(FrameType::kLoad, wire::LoadModel{.model_id = 1, .path = "fake"});
  EXPECT_EQ(client->expect<wire::LoadFailure>(FrameType::kLoadFailed).error_code, "invalid_argument");
}

TEST_F(AnEngineServer, RunsSeveralModelsSideBySide) {
  start();
  load();
  client->send(FrameType::kLoad, wire::LoadModel{.model_id = 2, .path = "fake"});
  EXPECT_EQ(client->expect<wire::ModelLoaded>(FrameType::kLoaded).model_id, 2U);
  for (uint64_t id = 1; id <= 6; ++id) client->submit(make_request(id, 10 + id, 30), id % 2 == 0 ? 1 : 2);
  for (uint64_t id = 1; id <= 6; ++id) {
    client->wait_for_end(id);
    EXPECT_EQ(client->answers[id], answer_alone(make_request(id, 10 + id, 30)));
  }
  client->send(FrameType::kPing, wire::Ping{2});
  const auto pong = client->expect<wire::Pong>(FrameType::kPong);
  ASSERT_EQ(pong.models.size(), 2U);
  EXPECT_EQ(pong.models[0].n_generated_tokens, 90U);
  EXPECT_EQ(pong.models[1].n_generated_tokens, 90U);
}

TEST_F(AnEngineServer, ForgetsWhatAnUnloadedModelRanAndServesTheOthers) {
  start();
  load();
  client->send(FrameType::kLoad, wire::LoadModel{.model_id = 2, .path = "fake"});
  client->read_until(FrameType::kLoaded);
  client->submit(make_request(1, 20, 200), 1);
  client->read_until(FrameType::kTokens);
  client->send(FrameType::kUnload, wire::Unload{1});
  EXPECT_EQ(client->expect<wire::Unloaded>(FrameType::kUnloaded).model_id, 1U);
  client->submit(make_request(2, 20, 20), 2);
  EXPECT_EQ(client->wait_for_end(2).reason, FinishReason::length);
  // It may have reached its end before the unload came; an end because of the unload would be wrong.
  EXPECT_TRUE(!client->finished.contains(1) || client->finished[1].n_generated_tokens == 200)
      << "halod resubmits it when the model is back";
  client->submit(make_request(3, 20, 20), 1);
  EXPECT_EQ(client->wait_for_end(3).error_code, "unavailable");
  load();  // the id is free again
}

TEST_F(AnEngineServer, AnswersOnAResidentModelWhileItLoadsAnother) {
  std::promise<void> released;
  bool first = true;
  start([&, slow = load_until(released.get_future().share())](const auto& request, const auto& residents,
                                                              const auto& callbacks) {
    return std::exchange(first, false) ? load_fake(request, residents, callbacks)
                                       : slow(request, residents, callbacks);
  });
  load();
  client->send(FrameType::kLoad, wire::LoadModel{.model_id = 2, .path = "fake"});
  client->submit(make_request(2, 9, 20), 2);  // waits for the load
  client->submit(make_request(1, 20, 50), 1);
  EXPECT_EQ(client->wait_for_end(1).reason, FinishReason::length);
  EXPECT_FALSE(client->finished.contains(2));
  released.set_value();
  EXPECT_EQ(client->wait_for_end(2).reason, FinishReason::length);
  EXPECT_EQ(client->answers[2], answer_alone(make_request(2, 9, 20)));
}

TEST_F(AnEngineServer, EndsALoadThatIsUnloaded) {
  std::promise<void> never;
  start(load_until(never.get_future().share()));
  client->send(FrameType::kLoad, wire::LoadModel{.model_id = 1, .path = "fake"});
  client->read_until(FrameType::kLoadProgress);
  client->send(FrameType::kUnload, wire::Unload{1});
  EXPECT_EQ(client->expect<wire::LoadFailure>(FrameType::kLoadFailed).error_code, "cancelled");
  client->send(FrameType::kPing, wire::Ping{1});
  EXPECT_TRUE(client->expect<wire::Pong>(FrameType::kPong).models.empty());
}

TEST_F(AnEngineServer, StopsACancelledRequest) {
  start();
  load();
  client->submit(make_request(1, 20, 200));
  client->read_until(FrameType::kTokens);
  client->send(FrameType::kCancel, wire::Cancel{1});
  client->send(FrameType::kCancel, wire::Cancel{99});
  const RequestFinished end = client->wait_for_end(1);
  // It may have reached its end in the meantime; what counts is that it says so once and its pages are free.
  EXPECT_TRUE(end.reason == FinishReason::cancelled || end.n_generated_tokens == 200)
      << end.n_generated_tokens;
  client->send(FrameType::kPing, wire::Ping{5});
  EXPECT_EQ(client->expect<wire::Pong>(FrameType::kPong).models.at(0).kv_pages_used, 0U);
}

TEST_F(AnEngineServer, IgnoresASecondSubmissionOfALiveRequest) {
  start();
  load();
  const GenerationRequest request = make_request(1, 20, 50);
  client->submit(request);
  client->submit(request);
  client->wait_for_end(1);
  EXPECT_EQ(client->answers[1], answer_alone(request));
}

TEST_F(AnEngineServer, AnswersAPingWithItsNumbers) {
  start();
  client->send(FrameType::kPing, wire::Ping{uint64_t{1} << 63});
  EXPECT_EQ(client->expect<wire::Pong>(FrameType::kPong).nonce, uint64_t{1} << 63);
  load();
  client->submit(make_request(1, 40, 10));
  client->wait_for_end(1);
  client->send(FrameType::kPing, wire::Ping{2});
  const auto pong = client->expect<wire::Pong>(FrameType::kPong).models.at(0);
  EXPECT_EQ(pong.model_id, 1U);
  EXPECT_EQ(pong.n_prompt_tokens, 40U);
  EXPECT_EQ(pong.n_generated_tokens, 10U);
  EXPECT_EQ(pong.kv_pages_total, static_cast<uint64_t>(kPages));
  EXPECT_EQ(pong.kv_pages_used, 0U);
  EXPECT_EQ(pong.n_running, 0U);
  EXPECT_EQ(pong.n_steps, 11U);
}

TEST_F(AnEngineServer, AnswersPingsWhileItLoads) {
  std::promise<void> ponged;
  start(load_until(ponged.get_future().share()));
  client->send(FrameType::kLoad, wire::LoadModel{.model_id = 1, .path = "fake"});
  client->send(FrameType::kPing, wire::Ping{3});
  EXPECT_EQ(client->expect<wire::Pong>(FrameType::kPong).nonce, 3U);
  ponged.set_value();
  EXPECT_EQ(client->read_until(FrameType::kLoaded).type, FrameType::kLoaded);
}

TEST_F(AnEngineServer, EndsWhenItsParentHangsUp) {
  start();
  load();
  client->submit(make_request(1, 20, 200));
  client->hang_up();
  EXPECT_EQ(wait_for_exit(), EngineExit::kParentGone);
}

TEST_F(AnEngineServer, EndsWhenToldToShutDown) {
  start();
  load();
  client->submit(make_request(1, 20, 200));
  client->send(FrameType::kShutdown, wire::Empty{});
  EXPECT_EQ(wait_for_exit(), EngineExit::kParentGone);
}

TEST_F(AnEngineServer, EndsWithItsOwnCodeWhenTheDeviceFails) {
  start([](const wire::LoadModel& request, const ResidentMemory& residents, const LoadCallbacks& callbacks) {
    auto loaded = load_fake(request, residents, callbacks);
    auto& model = static_cast<FakeModel&>(*loaded->model);
    model.before_forward = [&model](const Batch&) {
      if (model.n_steps > 6) throw DeviceError("the GPU hung");
    };
    return loaded;
  });
  load();
  client->submit(make_request(1, 4, 20));
  EXPECT_EQ(client->read_until(FrameType::kFinished).type, FrameType{})
      << "halod resumes the request, so nothing may end it";
  EXPECT_EQ(wait_for_exit(), EngineExit::kEngineFailed);
  EXPECT_FALSE(client->answers[1].empty()) << "tokens from before the failure still arrive";
}

TEST_F(AnEngineServer, EndsOnFramesThatItCannotRead) {
  const std::string other_version = [] {
    std::string bytes = wire::encode(FrameType::kPing, wire::Ping{1});
    bytes[6] = 1;
    return bytes;
  }();
  for (const std::string& bytes :
       {wire::encode(FrameType::kHello, wire::Hello{}), wire::encode(FrameType{999}, wire::Empty{}),
        wire::encode(FrameType::kSubmit, wire::Empty{}), wire::frame_bytes(FrameType::kPing, "{nonsense"),
        other_version, std::string("GET / HTTP/1.1\r\n\r\n")}) {
    start();
    client->send_bytes(bytes);
    EXPECT_EQ(wait_for_exit(), EngineExit::kProtocolError);
  }
}

TEST_F(AnEngineServer, ReadsFramesThatArriveByteByByte) {
  start();
  for (const char byte : wire::encode(FrameType::kPing, wire::Ping{77})) client->send_bytes({&byte, 1});
  EXPECT_EQ(client->expect<wire::Pong>(FrameType::kPong).nonce, 77U);
}

TEST_F(AnEngineServer, DeliversEverythingToAClientThatReadsLate) {
  start();
  load();
  // Far more than the socket's own buffer holds; the engine goes on meanwhile.
  constexpr uint64_t kRequests = 100;
  for (uint64_t id = 1; id <= kRequests; ++id) {
    client->submit(make_request(id, 10, 100, {.temperature = 0, .n_logprobs = 20}));
  }
  for (uint64_t id = 1; id <= kRequests; ++id) EXPECT_EQ(client->wait_for_end(id).n_generated_tokens, 100U);
  for (uint64_t id = 1; id <= kRequests; ++id) EXPECT_EQ(client->answers[id].size(), 100U);
}

TEST(AFrameOutbox, RefusesFramesThatNobodyReads) {
  FrameOutbox outbox;
  const std::string frame(FrameOutbox::kMaxBytes / 2, 'x');
  outbox.push(frame);
  outbox.push(frame);
  EXPECT_THROW(outbox.push("x"), ErrorException);
  EXPECT_EQ(outbox.take().size(), FrameOutbox::kMaxBytes);
  EXPECT_NO_THROW(outbox.push("x"));
}

}  // namespace
}  // namespace halod
