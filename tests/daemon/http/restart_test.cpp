// What clients see when the engine dies.
#include "tests/daemon/http/http_fixture.h"

namespace halod {
namespace {

using ::testing::HasSubstr;

TEST_F(ADaemon, PausesAStreamWhileTheEngineRestartsAndThenSendsTheRest) {
  answer = "the quick brown fox jumps over the lazy dog";
  start_and_wait();
  const std::string undisturbed = chat(R"("temperature": 0)").text();
  on_engine([](FakeEngine& engine) { engine.automatic = false; });
  HttpClient client = connect();
  client.send_request("POST", "/v1/chat/completions", chat_body(R"("temperature": 0, "stream": true)"));
  // Five deaths, each at another place: more than the poison guard allows without progress.
  for (int death = 1; death <= 5; ++death) {
    ASSERT_TRUE(wait_until([this] { return engine_.n_live() == 1; }));
    const double before = metrics_.generated_tokens.Value();
    on_engine([death](FakeEngine& engine) { engine.step(static_cast<uint32_t>(death)); });
    ASSERT_TRUE(wait_until([&] { return metrics_.generated_tokens.Value() == before + death; }));
    on_engine([](FakeEngine& engine) { engine.die(); });
    ASSERT_TRUE(wait_until([&] { return engine_.n_launched == death + 1; }));
  }
  ASSERT_TRUE(wait_until([this] { return engine_.n_live() == 1; }));
  on_engine([](FakeEngine& engine) { engine.step(100); });
  const HttpReply reply = client.receive();
  EXPECT_EQ(reply.text(), undisturbed);
  EXPECT_EQ(reply.events().back().at("choices").at(0).at("finish_reason"), "stop");
  EXPECT_THAT(get("/metrics").body, HasSubstr("halod_engine_deaths_total 5"));
}

TEST_F(ADaemon, ResumesManyRequestsAtOnce) {
  answer = "the quick brown fox";
  engine_.automatic = false;
  start_and_wait();
  std::deque<HttpClient> clients;
  for (int i = 0; i < 20; ++i) {
    clients.emplace_back(port_);
    clients.back().send_request("POST", "/v1/chat/completions",
                                chat_body(i % 2 == 0 ? R"("stream": true)" : ""));
  }
  ASSERT_TRUE(wait_until([this] { return engine_.n_live() == 20; }));
  on_engine([](FakeEngine& engine) { engine.step(5); });
  ASSERT_TRUE(wait_until([this] { return metrics_.generated_tokens.Value() == 100; }));
  on_engine([](FakeEngine& engine) {
    engine.die();
    engine.automatic = true;
  });
  for (HttpClient& client : clients) EXPECT_EQ(client.receive().text(), answer);
}

TEST_F(ADaemon, FailsTheRequestThatKillsTheEngineAndServesOn) {
  engine_.dies_on_submit = true;
  start_and_wait();
  const HttpReply failed = chat("");
  EXPECT_EQ(failed.status, 500U);
  EXPECT_THAT(failed.error("message"), HasSubstr("3 times in a row"));
  on_engine([](FakeEngine& engine) { engine.dies_on_submit = false; });
  ASSERT_TRUE(wait_until_ready());
  EXPECT_EQ(chat("").status, 200U);
}

TEST_F(ADaemon, LetsNewRequestsWaitWhileTheEngineRestarts) {
  start_and_wait();
  on_engine([](FakeEngine& engine) {
    engine.load_by_itself = false;
    engine.die();
  });
  ASSERT_TRUE(wait_until([this] { return plane_.models->readiness().state == ServiceState::kLoading; }));
  EXPECT_EQ(get("/health").status, 503U);
  HttpClient client = connect();
  client.send_request("POST", "/v1/chat/completions", chat_body());
  on_engine([](FakeEngine& engine) { engine.finish_load(); });
  EXPECT_EQ(client.receive().text(), answer);
}

TEST_F(ADaemon, RefusesARequestWithTheReasonWhenItsModelDoesNotComeInTime) {
  config_.models.wait_timeout = std::chrono::milliseconds(50);
  start_and_wait();
  on_engine([](FakeEngine& engine) {
    engine.load_by_itself = false;
    engine.die();
  });
  ASSERT_TRUE(wait_until([this] { return plane_.models->readiness().percent == 25; }));
  const HttpReply refused = chat("");
  EXPECT_EQ(refused.status, 503U);
  EXPECT_EQ(refused.headers.at("retry-after"), "1");
  EXPECT_THAT(refused.error("message"), HasSubstr("models.wait_timeout"));
  EXPECT_THAT(refused.error("message"), HasSubstr("25 %"));
}

}  // namespace
}  // namespace halod
