// halod's whole control plane on a thread, with an engine that the test plays, and clients on real loopback
// sockets.
#pragma once

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/json/value.hpp>
#include <deque>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/http/routes/routes.h"
#include "daemon/http/server.h"
#include "tests/daemon/support/control_plane.h"
#include "tests/daemon/support/io_thread.h"

namespace halod {

struct HttpReply {
  unsigned status = 0;
  std::string body;
  std::map<std::string, std::string> headers;  ///< names in lower case
  bool keep_alive = false;

  boost::json::value json() const;
  /// {"error": …} of the body.
  std::string error(std::string_view member) const;
  /// The JSON of each event of a stream, [DONE] left out.
  std::vector<boost::json::value> events() const;
  /// choices[choice_idx]'s text over all events, or of the whole answer.
  std::string text(size_t choice_idx = 0) const;
};

/// A blocking client with one connection.
class HttpClient {
 public:
  explicit HttpClient(uint16_t port);
  void send(std::string_view bytes);
  void send_request(std::string_view method, std::string_view path, std::string_view body = "",
                    std::string_view headers = "");
  HttpReply receive(bool to_head = false);
  HttpReply post(std::string_view path, std::string_view body, std::string_view headers = "");
  HttpReply get(std::string_view path, std::string_view headers = "");
  /// Reads raw bytes until `mark` has come; returns all of them. For streams that are looked at on their way.
  std::string read_until(std::string_view mark);
  /// True when the server closed the connection (after at most ten seconds).
  bool closed_by_server();
  void hang_up() { socket_.close(); }
  void reset_connection();
  boost::asio::ip::tcp::socket& socket() { return socket_; }

 private:
  boost::asio::io_context io_;
  boost::asio::ip::tcp::socket socket_;
  std::string buffer_;
};

/// Remembers what it was told.
class FakeService : public ServiceControl {
 public:
  Result<> reload() override {
    ++n_reloads;
    return {};
  }
  Result<> set_log_level(const std::string& level) override {
    if (level == "loud")
      return Error{ErrorCode::kInvalidArgument, "log level 'loud' is not one", "log.level"};
    level_ = level;
    return {};
  }
  std::string log_level() const override { return level_; }
  PowerStatus power() const override { return power_status; }
  PowerStatus power_status;
  int n_reloads = 0;

 private:
  std::string level_ = "info";
};

/// The engine answers with the prompt's last user text in upper case, unless the test sets `answer`.
class ADaemon : public ::testing::Test {
 protected:
  ADaemon();
  /// With models of another text than make_test_text's.
  explicit ADaemon(std::function<Result<TextModel>(const ModelSpec&)> make_text);
  ~ADaemon() override;

  void start();
  void start_and_wait();
  HttpClient connect() const { return HttpClient(port_); }
  /// One request on a connection of its own.
  HttpReply post(std::string_view path, std::string_view body) { return connect().post(path, body); }
  HttpReply chat(std::string_view members) { return post("/v1/chat/completions", chat_body(members)); }
  HttpReply complete(std::string_view members) { return post("/v1/completions", complete_body(members)); }
  HttpReply get(std::string_view path) { return connect().get(path); }
  /// A body with one user message, "hello", and further members such as `"stream": true`.
  static std::string chat_body(std::string_view members = "");
  static std::string complete_body(std::string_view members = "");

  template <class Condition>
  bool wait_until(Condition condition) {
    return thread_.wait_until(std::move(condition));
  }
  bool wait_until_ready() {
    return wait_until([this] { return plane_.models->readiness().ready(); });
  }
  template <class Function>
  void on_engine(Function function) {
    thread_.call([&] { function(engine_); });
  }
  int n_submitted() {
    return thread_.call([this] { return static_cast<int>(engine_.submitted.size()); });
  }

  std::string answer = "HELLO";  ///< what the model says; set before a request, or by on_engine
  ControlPlane plane_;
  Config& config_ = plane_.config;
  Metrics& metrics_ = plane_.metrics;
  IoThread& thread_ = plane_.thread;
  FakeEngine& engine_ = plane_.engine;
  Router router_;
  FakeService service_;
  MachineStatus machine_{"/nonexistent"};  ///< before start(): a recorded one
  std::unique_ptr<Server> server_;
  uint16_t port_ = 0;
};

}  // namespace halod
