#include "cli/api_client.h"

#include <fmt/format.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/url/parse.hpp>
#include <limits>

namespace halod::cli {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;

struct ApiClient::Call {
  http::verb method = http::verb::get;
  std::string_view path;
  std::string_view body = {};
  const std::function<void(std::string_view)>* on_event = nullptr;
};

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

Result<ApiReply> ApiClient::post_streaming(std::string_view path, std::string_view json,
                                           const std::function<void(std::string_view)>& on_event) const {
  return run({.method = http::verb::post, .path = path, .body = json, .on_event = &on_event});
}

Result<ApiReply> ApiClient::run(const Call& call) const {
  const auto url = boost::urls::parse_uri(server_.url);
  if (!url || url->scheme() != "http" || url->host().empty()) {
    return Error{
        ErrorCode::kInvalidArgument,
        fmt::format(
            "'{}' is no address of a server; it takes http://HOST:PORT, such as http://127.0.0.1:8000",
            server_.url),
        "url"};
  }
  const std::string host = url->host_address();
  const std::string port = url->has_port() ? std::string(url->port()) : "80";
  asio::io_context io;
  tcp::socket socket(io);
  boost::system::error_code ec;
  const auto endpoints = tcp::resolver(io).resolve(host, port, ec);
  if (!ec) asio::connect(socket, endpoints, ec);
  if (ec) {
    return Error{
        ErrorCode::kUnavailable,
        fmt::format("no server answers at {}: {}. Is halod running? Start it, or name another with --url "
                    "or HALOD_URL",
                    server_.url, ec.message())};
  }
  http::request<http::string_body> request(call.method, {call.path.data(), call.path.size()}, 11);
  request.set(http::field::host, fmt::format("{}:{}", host, port));
  request.set(http::field::user_agent, "haloctl");
  if (!server_.api_key.empty()) request.set(http::field::authorization, "Bearer " + server_.api_key);
  if (call.method == http::verb::post) request.set(http::field::content_type, "application/json");
  request.body() = call.body;
  request.prepare_payload();
  request.keep_alive(false);
  http::write(socket, request, ec);
  // A server that refuses early may close before all is sent; its answer says why.
  boost::beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(std::numeric_limits<uint64_t>::max());
  http::read_header(socket, buffer, parser, ec);
  EventSplitter splitter;
  const bool streams = call.on_event && !ec && parser.get().result_int() == 200;
  while (!ec && !parser.is_done()) {
    http::read_some(socket, buffer, parser, ec);
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
