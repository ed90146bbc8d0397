#include "daemon/http/session.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <chrono>
#include <optional>

#include "base/log.h"
#include "daemon/control/await_tuple.h"
#include "daemon/control/log_events.h"
#include "daemon/http/api_keys.h"
#include "daemon/http/error_response.h"

namespace halod {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::experimental::awaitable_operators::operator||;

/// Bytes read at a time, and how far ahead a client may send while its request is worked on.
constexpr size_t kReadBytes = 16 << 10;
/// How much of a refused body is read and thrown away, so that the client gets to read the refusal before the
/// connection is reset.
constexpr size_t kLingerBytes = 1 << 20;
constexpr std::chrono::seconds kLingerTime{2};

using Parser = http::request_parser<http::string_body>;

class Session {
 public:
  Session(SessionState& state, SessionSetup setup)
      : state_(state),
        stream_(state.stream),
        setup_(setup),
        buffer_(setup.config.max_header_bytes + 2 * kReadBytes) {}

  asio::awaitable<void> run() {
    beast::error_code ignored;  // fails for a closed socket only, which the first read notices
    stream_.socket().non_blocking(true, ignored);
    bool first = true;
    bool open = true;
    while (open) {
      open = co_await wait_for_request(first) && co_await serve_request();
      first = false;
    }
    co_await close();
  }

 private:
  /// Takes what has already arrived into the buffer. Asio's reactor is edge-triggered and takes a short read
  /// for all that is there, so an asynchronous read alone would miss an end of stream that came together with
  /// the last bytes.
  beast::error_code take_arrived() {
    beast::error_code ec;
    buffer_.commit(stream_.socket().read_some(buffer_.prepare(kReadBytes), ec));
    return ec == asio::error::would_block ? beast::error_code() : ec;
  }

  /// True when bytes of a request are there.
  asio::awaitable<bool> wait_for_request(bool first) {
    if (buffer_.size() > 0) co_return true;
    if (state_.stopping || take_arrived()) co_return false;
    state_.idle = buffer_.size() == 0;
    if (!state_.idle) co_return true;
    stream_.expires_after(first ? setup_.config.read_timeout : setup_.config.idle_timeout);
    const auto [ec, n_bytes] = co_await stream_.async_read_some(buffer_.prepare(kReadBytes), kAwaitTuple);
    if (ec)
      co_return false;  // closed, timed out, or cancelled by a server that stops: all the same to an idle
                        // connection
    buffer_.commit(n_bytes);
    state_.idle = false;
    co_return true;
  }

  /// True when another request may follow on this connection.
  asio::awaitable<bool> serve_request() {
    Parser parser;
    parser.header_limit(static_cast<uint32_t>(setup_.config.max_header_bytes));
    parser.body_limit(setup_.config.max_body_bytes);
    stream_.expires_after(setup_.config.read_timeout);
    const auto [ec, n_bytes] = co_await http::async_read_header(stream_, buffer_, parser, kAwaitTuple);
    if (ec) co_return co_await refuse_unreadable(ec, parser);
    // Before the body: who may not come in need not send it.
    std::optional<Response> refusal = refuse_by_head(parser.get());
    if (!refusal && !parser.is_done()) {
      const beast::error_code body_ec = co_await read_body(parser);
      if (body_ec) co_return co_await refuse_unreadable(body_ec, parser);
    }
    const bool body_read = parser.is_done();
    Exchange exchange(stream_, setup_.config, parser.release(), body_read && !state_.stopping);
    started_ = std::chrono::steady_clock::now();
    const bool client_there = co_await answer(exchange, std::move(refusal));
    log(exchange, client_there);
    if (!body_read) lingers_ = true;
    co_return client_there&& exchange.keep_alive() && !state_.stopping;
  }

  asio::awaitable<beast::error_code> read_body(Parser& parser) {
    if (beast::iequals(parser.get()[http::field::expect], "100-continue")) {
      static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
      stream_.expires_after(setup_.config.write_timeout);
      const auto [ec, n_bytes] = co_await asio::async_write(stream_, asio::buffer(kContinue), kAwaitTuple);
      if (ec) co_return ec;
    }
    while (!parser.is_done()) {
      stream_.expires_after(setup_.config.read_timeout);
      const auto [ec, n_bytes] = co_await http::async_read_some(stream_, buffer_, parser, kAwaitTuple);
      if (ec) co_return ec;
    }
    co_return beast::error_code();
  }

  std::optional<Response> refuse_by_head(const http::request<http::string_body>& request) const {
    const std::string_view target{request.target().data(), request.target().size()};
    const std::string_view path = target.substr(0, target.find('?'));
    const Route* route = setup_.router.find(request.method(), path);
    if (!route) return setup_.router.refusal(request.method(), path);
    // Without keys nobody could come in, and nobody need know that there is a door. Asked each time: a reload
    // may bring keys.
    if (route->access == Access::kAdminKey && setup_.config.admin_keys.empty())
      return status_response(http::status::not_found, fmt::format("there is nothing at {}", path),
                             "not_found");
    const auto authorization = request[http::field::authorization];
    const std::string_view given{authorization.data(), authorization.size()};
    const bool may_enter =
        route->access == Access::kOpen ||
        (route->access == Access::kApiKey && is_authorized(setup_.config.api_keys, given)) ||
        // is_authorized() lets everybody in where there are no keys, which must not open anything here.
        (!setup_.config.admin_keys.empty() && is_authorized(setup_.config.admin_keys, given));
    if (!may_enter) {
      Response response = status_response(
          http::status::unauthorized, "this server needs 'Authorization: Bearer KEY' with one of its keys",
          "invalid_api_key");
      response.headers.emplace_back("WWW-Authenticate", "Bearer");
      return response;
    }
    return std::nullopt;
  }

  /// Answers what cannot be parsed, where HTTP has an answer; then the connection ends.
  asio::awaitable<bool> refuse_unreadable(beast::error_code ec, Parser& parser) {
    std::optional<Response> response;
    if (ec == http::error::header_limit || ec == http::error::buffer_overflow) {
      response =
          status_response(http::status::request_header_fields_too_large,
                          fmt::format("the header is larger than {} bytes", setup_.config.max_header_bytes),
                          "header_too_large");
    } else if (ec == http::error::body_limit) {
      response = status_response(
          http::status::payload_too_large,
          fmt::format("the body is larger than {} bytes", setup_.config.max_body_bytes), "body_too_large");
    } else if (ec == beast::error::timeout && buffer_.size() + parser.get().body().size() > 0) {
      // Beast closes a socket whose timeout passed, so there is nobody to tell.
      spdlog::warn("a client was too slow with its request and was dropped");
    } else if (ec.category() == beast::error_code(http::error::bad_method).category() &&
               ec != http::error::end_of_stream && ec != http::error::partial_message) {
      response = status_response(http::status::bad_request,
                                 fmt::format("this is not HTTP that can be read: {}", ec.message()),
                                 "malformed_http");
    }
    if (response) {
      Exchange exchange(stream_, setup_.config, Exchange::Request(http::verb::unknown, "-", 11), false);
      started_ = std::chrono::steady_clock::now();
      const bool client_there = co_await answer(exchange, std::move(response));
      log(exchange, client_there);
      lingers_ = true;
    }
    co_return false;
  }

  /// Sends the refusal, or what the route answers. False when the client is gone.
  asio::awaitable<bool> answer(Exchange& exchange, std::optional<Response> refusal) {
    auto work = refusal ? send(exchange, std::move(*refusal)) : run_route(exchange);
    // Whichever ends first cancels the other: a route that is cancelled drops its Generation, which cancels
    // it in the engine.
    const std::variant<bool, std::monostate> ended = co_await (std::move(work) || watch_hang_up());
    co_return ended.index() == 0 && std::get<0>(ended);
  }

  static asio::awaitable<bool> send(Exchange& exchange, Response response) {
    try {
      co_await exchange.respond(std::move(response));
      co_return true;
    } catch (const boost::system::system_error&) {
      co_return false;
    }
  }

  /// Never throws while it has a client: `||` would then wait for the client to hang up.
  asio::awaitable<bool> run_route(Exchange& exchange) {
    const Route* route = setup_.router.find(exchange.request().method(), exchange.path());
    std::string failure;
    try {
      co_await route->handle(exchange);
      if (!exchange.answered()) failure = "the route gave no answer";
    } catch (const boost::system::system_error& error) {
      spdlog::debug("{} ended early: {}", exchange.request_id(), error.code().message());
      co_return false;
    } catch (const std::exception& error) {
      failure = error.what();
    }
    if (failure.empty()) co_return true;
    spdlog::error("{} {} failed: {}", exchange.request_id(), exchange.path(), failure);
    if (exchange.answered()) co_return false;
    co_return co_await send(
        exchange, error_response({ErrorCode::kInternal,
                                  "internal error; the log has the details under this request's id"}));
  }

  /// Returns when the client is gone. What it sends ahead is kept for the next request, up to a bound.
  asio::awaitable<void> watch_hang_up() {
    auto& socket = stream_.socket();
    for (;;) {
      if (buffer_.size() + kReadBytes > buffer_.max_size()) {
        co_await socket.async_wait(asio::ip::tcp::socket::wait_error, kAwaitTuple);
        co_return;
      }
      if (take_arrived()) co_return;
      // On the socket itself, not through tcp_stream: the timeout there is for this request's writes.
      const auto [ec, n_bytes] = co_await socket.async_read_some(buffer_.prepare(kReadBytes), kAwaitTuple);
      if (ec) co_return;
      buffer_.commit(n_bytes);
    }
  }

  void log(const Exchange& exchange, bool client_there) {
    const double ms =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - started_).count();
    const unsigned status = exchange.answered() ? exchange.status() : 0;
    const auto level = status >= 500 && status != 503 ? spdlog::level::err
                       : status >= 400                ? spdlog::level::warn
                                                      : spdlog::level::info;
    const auto method = exchange.request().method_string();
    const LogFields fields{{log_events::kRequest, exchange.request_id()},
                           {log_events::kModel, exchange.model_name()}};
    spdlog::log(level, "{} {} {} {} {:.1f} ms{}", exchange.request_id(),
                std::string_view(method.data(), method.size()), exchange.path(), status, ms,
                client_there ? "" : " (the client went away)");
    const bool known_path = setup_.router.find(exchange.request().method(), exchange.path()) != nullptr;
    setup_.metrics.count_http_response(known_path ? exchange.path() : "other", client_there ? status : 499);
  }

  asio::awaitable<void> close() {
    beast::error_code ignored;  // the socket may be closed already, by either end
    stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
    stream_.expires_after(kLingerTime);
    lingers_ = lingers_ || buffer_.size() > 0;
    for (size_t n_read = 0; lingers_ && n_read < kLingerBytes;) {
      buffer_.clear();
      const auto [ec, n_bytes] = co_await stream_.async_read_some(buffer_.prepare(kReadBytes), kAwaitTuple);
      if (ec) break;
      n_read += n_bytes;
    }
    stream_.socket().close(ignored);
  }

  SessionState& state_;
  beast::tcp_stream& stream_;
  SessionSetup setup_;
  beast::flat_buffer buffer_;
  std::chrono::steady_clock::time_point started_{};
  bool lingers_ = false;
};

}  // namespace

asio::awaitable<void> run_session(SessionState& state, SessionSetup setup) {
  Session session(state, setup);
  try {
    co_await session.run();
  } catch (const std::exception& error) {
    spdlog::error("a client connection failed: {}", error.what());
  }
}

}  // namespace halod
