#include "tests/daemon/http/http_fixture.h"

namespace halod {
namespace {

using ::testing::HasSubstr;

TEST_F(ADaemon, IsNotHealthyBeforeTheModelIsLoaded) {
  engine_.load_by_itself = false;
  start();
  ASSERT_TRUE(wait_until([this] { return plane_.models->readiness().percent == 25; }));
  const HttpReply loading = get("/health");
  EXPECT_EQ(loading.status, 503U);
  EXPECT_EQ(loading.json().at("status"), "loading");
  EXPECT_EQ(loading.json().at("percent"), 25);
  EXPECT_EQ(loading.json().at("reason"), "the model is being loaded: 25 %");
  HttpClient early = connect();
  early.send_request("POST", "/v1/chat/completions", chat_body());
  on_engine([](FakeEngine& engine) { engine.finish_load(); });
  ASSERT_TRUE(wait_until_ready());
  EXPECT_EQ(early.receive().text(), answer) << "a request that comes early waits";
  const HttpReply ready = get("/health");
  EXPECT_EQ(ready.status, 200U);
  EXPECT_EQ(ready.json().at("status"), "ok");
}

TEST_F(ADaemon, ListsItsModelAndTellsItsVersion) {
  start_and_wait();
  const HttpReply models = get("/v1/models");
  EXPECT_EQ(models.status, 200U);
  EXPECT_EQ(models.json().at("object"), "list");
  EXPECT_EQ(models.json().at("data").at(0).at("id"), "test-model");
  EXPECT_EQ(models.json().at("data").at(0).at("max_model_len"), 4096);
  EXPECT_EQ(get("/version").json().at("name"), "halod");
}

TEST_F(ADaemon, CountsWhatItDoesForPrometheus) {
  start_and_wait();
  EXPECT_EQ(chat("").status, 200U);
  const HttpReply metrics = get("/metrics");
  EXPECT_THAT(metrics.headers.at("content-type"), HasSubstr("text/plain; version=0.0.4"));
  EXPECT_THAT(metrics.body, HasSubstr("halod_generated_tokens_total 6"));
  EXPECT_THAT(metrics.body,
              HasSubstr("halod_http_responses_total{route=\"/v1/chat/completions\",status=\"200\"} 1"));
  EXPECT_THAT(metrics.body, HasSubstr("halod_engine_ready 1"));
}

TEST_F(ADaemon, AnswersHeadWithoutABody) {
  start_and_wait();
  HttpClient client = connect();
  client.send_request("HEAD", "/health");
  const HttpReply head = client.receive(true);
  EXPECT_EQ(head.status, 200U);
  EXPECT_NE(head.headers.at("content-length"), "0");
  EXPECT_EQ(client.get("/version").status, 200U) << "the connection goes on";
}

TEST_F(ADaemon, SaysWhereThereIsNothingAndWhatMethodIsMeant) {
  start_and_wait();
  EXPECT_EQ(get("/v2/models").status, 404U);
  const HttpReply wrong_method = get("/v1/chat/completions");
  EXPECT_EQ(wrong_method.status, 405U);
  EXPECT_EQ(wrong_method.headers.at("allow"), "POST, OPTIONS");
}

TEST_F(ADaemon, AsksForAKeyWhenItHasSome) {
  config_.http.api_keys = {"sesame"};
  start_and_wait();
  const HttpReply refused = chat("");
  EXPECT_EQ(refused.status, 401U);
  EXPECT_EQ(refused.error("code"), "invalid_api_key");
  EXPECT_EQ(connect().post("/v1/chat/completions", chat_body(), "Authorization: Bearer sesame\r\n").status,
            200U);
  EXPECT_EQ(connect().post("/v1/chat/completions", chat_body(), "Authorization: Bearer open\r\n").status,
            401U);
  EXPECT_EQ(get("/metrics").status, 401U);
  EXPECT_EQ(get("/health").status, 200U) << "load balancers have no key";
}

TEST_F(ADaemon, LetsWebPagesOfTheAllowedOriginIn) {
  config_.http.allow_origin = "https://chat.example";
  start_and_wait();
  HttpClient client = connect();
  client.send_request("OPTIONS", "/v1/chat/completions");
  const HttpReply preflight = client.receive();
  EXPECT_EQ(preflight.status, 204U);
  EXPECT_EQ(preflight.headers.at("access-control-allow-origin"), "https://chat.example");
  EXPECT_THAT(preflight.headers.at("access-control-allow-headers"), HasSubstr("Authorization"));
  EXPECT_EQ(chat("").headers.at("access-control-allow-origin"), "https://chat.example");
}

TEST_F(ADaemon, SendsNoCorsHeadersUnlessConfigured) {
  start_and_wait();
  EXPECT_FALSE(chat("").headers.contains("access-control-allow-origin"));
}

TEST_F(ADaemon, PutsARequestIdOnEveryAnswer) {
  start_and_wait();
  EXPECT_THAT(get("/health").headers.at("x-request-id"), ::testing::StartsWith("req-"));
  EXPECT_EQ(connect().get("/health", "X-Request-Id: my-id.7\r\n").headers.at("x-request-id"), "my-id.7");
  EXPECT_NE(connect().get("/health", "X-Request-Id: a b\r\n").headers.at("x-request-id"), "a b")
      << "it goes into the log";
}

}  // namespace
}  // namespace halod
