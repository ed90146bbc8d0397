#include "cli/api_client.h"

#include <fmt/format.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/url/parse.hpp>
#include <chrono>
#include <limits>

namespace halod::cli {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;

namespace {

constexpr std::chrono::seconds kConnectTimeout{10};
// For each answer but a stream: none of them waits for a model.
constexpr std::chrono::seconds kAnswerTimeout{60};

/// Starts one operation and waits for its end. Not a blocking call, because those know no deadline, and a
/// server that hangs would hang haloctl too.
template <class Start>
boost::system::error_code wait_for(asio::io_context& io, const Start& start) {
  boost::system::error_code result;
  start([&result](boost::system::error_code ec, const auto&...) { result = ec; });
  io.restart();
  io.run();
  return result;
}

}  // namespace

struct ApiClient::Call {
  http::verb method = http::verb::get;
  std::string_view path;
  std::string_view body = {};
  const std::function<void(std::string_view)>* on_event = nullptr;
};

Result<ServerAddress> parse_server_url(std::string_view text) {
  const auto url = boost::urls::parse_uri({text.data(), text.size()});
  // Boost 1.81 reads "10.0.0.1.example" as the address 10.0.0.1 with the path ".example": another server.
  const bool is_whole = url && (url->encoded_path().empty() || url->encoded_path().starts_with('/'));
  if (!is_whole || url->scheme() != "http" || url->host().empty()) {
    return Error{
        ErrorCode::kInvalidArgument,
        fmt::format(
            "'{}' is no address of a server; it takes http://HOST:PORT, such as http://127.0.0.1:8000", text),
        "url"};
  }
  return ServerAddress{url->host_address(), url->has_port() ? std::string(url->port()) : "80"};
}

void EventSplitter::push(std::string_view bytes, const std::function<void(std::string_view)>& on_event) {
  static constexpr std::string_view kData = "data: ";
  buffer_.append(bytes);
  size_t begin = 0;
  for (size_t end = 0; (end = buffer_.find("\n\n", begin)) != std::string::npos; begin = end + 2) {
    const std::string_view event = std::string_view(buffer_).substr(begin, end - begin);
    if (event.starts_with(kData) && event != "data: [DONE]") on_event(event.substr(kData.size()));
  }
  buffer_.erase(0, begin);
}

Result<ApiReply> ApiClient::get(std::string_view path) const { return run({.path = path}); }

Result<ApiReply> ApiClient::post(std::string_view path, std::string_view json) const {
  return run({.method = http::verb::post, .path = path, .body = json});
}

Result<ApiReply> ApiClient::put(std::string_view path, std::string_view json) const {
  return run({.method = http::verb::put, .path = path, .body = json});
}

Result<ApiReply> ApiClient::remove(std::string_view path) const {
  return run({.method = http::verb::delete_, .path = path});
}

Result<ApiReply> ApiClient::post_streaming(std::string_view path, std::string_view json,
                                           const std::function<void(std::string_view)>& on_event) const {
  return run({.method = http::verb::post, .path = path, .body = json, .on_event = &on_event});
}

Result<ApiReply> ApiClient::run(const Call& call) const {
  const Result<ServerAddress> address = parse_server_url(server_.url);
  if (!address) return address.error();
  asio::io_context io;
  boost::beast::tcp_stream stream(io);
  boost::system::error_code ec;
  const auto endpoints = tcp::resolver(io).resolve(address->host, address->port, ec);
  stream.expires_after(kConnectTimeout);
  if (!ec) ec = wait_for(io, [&](auto handler) { stream.async_connect(endpoints, std::move(handler)); });
  if (ec) {
    return Error{
        ErrorCode::kUnavailable,
        fmt::format("no server answers at {}: {}. Is halod running? Start it, or name another with --url "
                    "or HALOD_URL",
                    server_.url, ec.message())};
  }
  http::request<http::string_body> request(call.method, {call.path.data(), call.path.size()}, 11);
  request.set(http::field::host, fmt::format("{}:{}", address->host, address->port));
  request.set(http::field::user_agent, "haloctl");
  if (!server_.api_key.empty()) request.set(http::field::authorization, "Bearer " + server_.api_key);
  if (!call.body.empty()) request.set(http::field::content_type, "application/json");
  request.body() = call.body;
  request.prepare_payload();
  request.keep_alive(false);
  // An answer that streams pauses while a prompt is computed, for as long as that takes.
  call.on_event ? stream.expires_never() : stream.expires_after(kAnswerTimeout);
  ec = wait_for(io, [&](auto handler) { http::async_write(stream, request, std::move(handler)); });
  // A server that refuses early may close before all is sent; its answer says why.
  boost::beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(std::numeric_limits<uint64_t>::max());
  ec = wait_for(io,
                [&](auto handler) { http::async_read_header(stream, buffer, parser, std::move(handler)); });
  EventSplitter splitter;
  const bool streams = call.on_event && !ec && parser.get().result_int() == 200;
  while (!ec && !parser.is_done()) {
    ec = wait_for(io,
                  [&](auto handler) { http::async_read_some(stream, buffer, parser, std::move(handler)); });
    if (!streams) continue;
    splitter.push(parser.get().body(), *call.on_event);
    parser.get().body().clear();
  }
  if (ec)
    return Error{ErrorCode::kUnavailable,
                 fmt::format("the connection to {} broke off: {}", server_.url, ec.message())};
  return ApiReply{.status = parser.get().result_int(), .body = std::move(parser.get().body())};
}

}  // namespace halod::cli
