#include <boost/asio/write.hpp>

#include "tests/daemon/http/http_fixture.h"

namespace halod {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

TEST_F(ADaemon, KeepsAConnectionForManyRequests) {
  start_and_wait();
  HttpClient client = connect();
  for (int i = 0; i < 3; ++i) {
    const HttpReply reply =
        client.post("/v1/chat/completions", ADaemon::chat_body(i == 1 ? R"("stream": true)" : ""));
    EXPECT_EQ(reply.text(), "HELLO");
    EXPECT_TRUE(reply.keep_alive);
  }
  EXPECT_EQ(thread_.call([this] { return server_->n_connections(); }), 1U);
}

TEST_F(ADaemon, ClosesWhenTheClientAsksForIt) {
  start_and_wait();
  HttpClient client = connect();
  EXPECT_FALSE(client.get("/health", "Connection: close\r\n").keep_alive);
  EXPECT_TRUE(client.closed_by_server());
}

TEST_F(ADaemon, SpeaksHttp10WithoutChunks) {
  start_and_wait();
  HttpClient client = connect();
  const std::string body = chat_body(R"("stream": true)");
  client.send(
      fmt::format("POST /v1/chat/completions HTTP/1.0\r\nContent-Length: {}\r\n\r\n{}", body.size(), body));
  const HttpReply reply = client.receive();
  EXPECT_FALSE(reply.headers.contains("transfer-encoding"));
  EXPECT_EQ(reply.text(), "HELLO");
}

TEST_F(ADaemon, AnswersPipelinedRequestsInOrder) {
  start_and_wait();
  HttpClient client = connect();
  std::string all;
  for (int i = 0; i < 5; ++i) {
    const std::string body = chat_body(fmt::format(R"("max_tokens": {})", i + 1));
    all += fmt::format("POST /v1/chat/completions HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n{}",
                       body.size(), body);
    all += "GET /version HTTP/1.1\r\nHost: t\r\n\r\n";
  }
  client.send(all);
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(client.receive().text(), std::string("HELLO").substr(0, i + 1));
    EXPECT_EQ(client.receive().json().at("name"), "halod");
  }
}

TEST_F(ADaemon, CancelsWhenTheClientHangsUpWhileTokensFlow) {
  engine_.automatic = false;
  start_and_wait();
  HttpClient client = connect();
  client.send_request("POST", "/v1/chat/completions", chat_body(R"("stream": true, "n": 2)"));
  ASSERT_TRUE(wait_until([this] { return engine_.n_live() == 2; }));
  on_engine([](FakeEngine& engine) { engine.step(1); });
  client.read_until("\n\n");
  client.hang_up();
  EXPECT_TRUE(
      wait_until([this] { return engine_.cancelled.size() == 2 && plane_.models->n_unfinished() == 0; }));
  EXPECT_TRUE(wait_until([this] { return server_->n_connections() == 0; }));
}

TEST_F(ADaemon, CancelsWhenTheClientHangsUpBeforeTheFirstToken) {
  engine_.automatic = false;
  start_and_wait();
  for (const char* members : {"", R"("stream": true)"}) {
    HttpClient client = connect();
    client.send_request("POST", "/v1/chat/completions", chat_body(members));
    ASSERT_TRUE(wait_until([this] { return engine_.n_live() == 1; }));
    client.hang_up();
    EXPECT_TRUE(wait_until([this] { return engine_.n_live() == 0 && plane_.models->n_unfinished() == 0; }));
  }
}

TEST_F(ADaemon, CancelsWhenTheConnectionIsReset) {
  engine_.automatic = false;
  start_and_wait();
  HttpClient client = connect();
  client.send_request("POST", "/v1/chat/completions", chat_body());
  ASSERT_TRUE(wait_until([this] { return engine_.n_live() == 1; }));
  client.reset_connection();
  EXPECT_TRUE(wait_until([this] { return engine_.cancelled.size() == 1; }));
}

TEST_F(ADaemon, KeepsEverythingForAClientThatReadsSlowly) {
  // More than both ends' socket buffers hold: the rest waits in halod.
  engine_.loaded.context_length = 1U << 20;
  answer = std::string(20'000, 'x');
  start_and_wait();
  HttpClient client = connect();
  client.send_request("POST", "/v1/chat/completions", chat_body(R"("stream": true)"));
  ASSERT_TRUE(
      wait_until([this] { return !engine_.submitted.empty() && plane_.models->n_unfinished() == 0; }));
  EXPECT_EQ(client.receive().text(), answer);
  EXPECT_TRUE(thread_.call([this] { return engine_.cancelled.empty(); }));
}

TEST_F(ADaemon, DropsAClientThatTakesNothingForTooLong) {
  config_.http.write_timeout = 50ms;
  // Enough that neither end's socket buffer holds it.
  engine_.loaded.context_length = 1U << 20;
  answer = std::string(400'000, 'x');
  engine_.automatic = false;
  start_and_wait();
  HttpClient client = connect();
  client.socket().set_option(boost::asio::socket_base::receive_buffer_size(4096));
  client.send_request("POST", "/v1/chat/completions",
                      chat_body(R"("stream": true, "logprobs": true, "top_logprobs": 2)"));
  ASSERT_TRUE(wait_until([this] { return engine_.n_live() == 1; }));
  EXPECT_TRUE(wait_until([this] {
    engine_.step(500);
    return server_->n_connections() == 0;
  }));
  EXPECT_TRUE(wait_until([this] { return engine_.cancelled.size() == 1; }));
}

TEST_F(ADaemon, DropsAClientThatNeverFinishesItsRequest) {
  config_.http.read_timeout = 50ms;
  start_and_wait();
  HttpClient in_header = connect();
  in_header.send("POST /v1/chat/completions HTTP/1.1\r\nHo");
  HttpClient in_body = connect();
  in_body.send("POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 100\r\n\r\n{\"mess");
  HttpClient silent = connect();
  EXPECT_TRUE(in_header.closed_by_server());
  EXPECT_TRUE(in_body.closed_by_server());
  EXPECT_TRUE(silent.closed_by_server());
}

TEST_F(ADaemon, RefusesWhatIsTooLarge) {
  config_.http.max_header_bytes = 2048;
  config_.http.max_body_bytes = 4096;
  start_and_wait();
  EXPECT_EQ(connect().get("/health", "X-Padding: " + std::string(3000, 'x') + "\r\n").status, 431U);
  const HttpReply declared = post("/v1/chat/completions", std::string(5000, 'x'));
  EXPECT_EQ(declared.status, 413U);
  EXPECT_THAT(declared.error("message"), HasSubstr("4096 bytes"));
  HttpClient chunked = connect();
  chunked.send("POST /v1/chat/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n" +
               std::string(5000, 'x') + "\r\n0\r\n\r\n");
  EXPECT_EQ(chunked.receive().status, 413U);
  EXPECT_EQ(get("/health").status, 200U);
}

TEST_F(ADaemon, AnswersMalformedHttpWith400) {
  start_and_wait();
  for (const char* bytes :
       {"nonsense\r\n\r\n", "GET /health HTTP/9.9\r\n\r\n", "GET /health HTTP/1.1\r\nno colon\r\n\r\n",
        "POST /v1/completions HTTP/1.1\r\nContent-Length: minus\r\n\r\n", "\x16\x03\x01\x02\r\n\r\n",
        "POST /v1/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    HttpClient client = connect();
    client.send(bytes);
    EXPECT_EQ(client.receive().status, 400U) << bytes;
    EXPECT_TRUE(client.closed_by_server()) << bytes;
  }
}

TEST_F(ADaemon, SurvivesAClientThatLeavesInTheMiddleOfItsRequest) {
  start_and_wait();
  for (const char* bytes : {"", "G", "GET /health HTTP/1.1\r\n",
                            "POST /v1/completions HTTP/1.1\r\nContent-Length: 50\r\n\r\n{"}) {
    HttpClient client = connect();
    if (*bytes != '\0') client.send(bytes);
    client.hang_up();
  }
  EXPECT_TRUE(wait_until([this] { return server_->n_connections() == 0; }));
  EXPECT_EQ(get("/health").status, 200U);
}

TEST_F(ADaemon, TellsAClientThatAsksToGoOnWithItsBody) {
  start_and_wait();
  HttpClient client = connect();
  const std::string body = chat_body();
  client.send(
      fmt::format("POST /v1/chat/completions HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
                  body.size()));
  EXPECT_THAT(client.read_until("\r\n\r\n"), HasSubstr("100 Continue"));
  client.send(body);
  EXPECT_EQ(client.receive().text(), "HELLO");
}

TEST_F(ADaemon, ClosesConnectionsBeyondItsLimit) {
  config_.http.max_connections = 2;
  start_and_wait();
  HttpClient first = connect();
  HttpClient second = connect();
  EXPECT_EQ(first.get("/health").status, 200U);
  EXPECT_EQ(second.get("/health").status, 200U);
  EXPECT_TRUE(connect().closed_by_server());
  EXPECT_EQ(first.get("/health").status, 200U);
}

TEST_F(ADaemon, ServesManyStreamsAtOnceAndForgetsThem) {
  answer = "a rather longer answer, for two hundred clients";
  start_and_wait();
  constexpr int kClients = 200;
  std::deque<HttpClient> clients;
  for (int i = 0; i < kClients; ++i) clients.emplace_back(port_);
  for (HttpClient& client : clients)
    client.send_request("POST", "/v1/chat/completions", chat_body(R"("stream": true)"));
  for (HttpClient& client : clients) EXPECT_EQ(client.receive().text(), answer);
  clients.clear();
  EXPECT_TRUE(
      wait_until([this] { return server_->n_connections() == 0 && plane_.models->n_unfinished() == 0; }));
}

TEST_F(ADaemon, FinishesRequestsAndClosesIdleConnectionsWhenItStops) {
  engine_.automatic = false;
  start_and_wait();
  HttpClient idle = connect();
  EXPECT_EQ(idle.get("/health").status, 200U);
  HttpClient busy = connect();
  busy.send_request("POST", "/v1/chat/completions", chat_body(R"("stream": true)"));
  ASSERT_TRUE(wait_until([this] { return engine_.n_live() == 1; }));
  thread_.call([this] { server_->stop(); });
  auto stopped = plane_.stop(10s);
  EXPECT_TRUE(idle.closed_by_server());
  EXPECT_THROW(connect(), boost::system::system_error) << "nobody listens any more";
  on_engine([](FakeEngine& engine) { engine.step(100); });
  EXPECT_EQ(busy.receive().text(), "HELLO");
  EXPECT_TRUE(busy.closed_by_server());
  stopped.get();
  EXPECT_TRUE(plane_.models_result());
  boost::asio::co_spawn(thread_.io(), server_->wait_until_closed(10s), boost::asio::use_future).get();
  EXPECT_EQ(thread_.call([this] { return server_->n_connections(); }), 0U);
}

TEST_F(ADaemon, TellsStreamingClientsWhenItCannotFinishInTime) {
  engine_.automatic = false;
  start_and_wait();
  HttpClient client = connect();
  client.send_request("POST", "/v1/chat/completions", chat_body(R"("stream": true)"));
  ASSERT_TRUE(wait_until([this] { return engine_.n_live() == 1; }));
  thread_.call([this] { server_->stop(); });
  plane_.stop(1ms).get();
  const auto events = client.receive().events();
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events.back().at("error").at("code"), "unavailable");
}

}  // namespace
}  // namespace halod
