#include "daemon/http/exchange.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/buffers_cat.hpp>
#include <boost/beast/http/chunk_encode.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/write.hpp>
#include <cctype>
#include <random>

#include "base/error.h"

namespace halod {

namespace asio = boost::asio;
namespace http = boost::beast::http;

namespace {

constexpr size_t kMaxRequestIdLength = 64;

bool is_harmless_id(std::string_view id) {
  const auto harmless = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
  };
  return !id.empty() && id.size() <= kMaxRequestIdLength && std::ranges::all_of(id, harmless);
}

std::string_view to_view(boost::beast::string_view text) { return {text.data(), text.size()}; }

}  // namespace

std::string random_hex(size_t n_digits) {
  thread_local std::mt19937_64 generator{std::random_device{}()};
  std::string digits;
  while (digits.size() < n_digits) digits.push_back("0123456789abcdef"[generator() & 15]);
  return digits;
}

Exchange::Exchange(boost::beast::tcp_stream& stream, const HttpConfig& config, Request request,
                   bool keep_alive)
    : stream_(stream),
      config_(config),
      request_(std::move(request)),
      keep_alive_(keep_alive && request_.keep_alive()) {
  const std::string_view target = to_view(request_.target());
  path_ = target.substr(0, target.find('?'));
  const std::string_view client_id = to_view(request_["X-Request-Id"]);
  request_id_ = is_harmless_id(client_id) ? std::string(client_id) : "req-" + random_hex(16);
}

http::verb Exchange::method() const {
  return request_.method() == http::verb::head ? http::verb::get : request_.method();
}

template <class Fields>
void Exchange::set_common_headers(Fields& fields) const {
  fields.set(http::field::server, "halod");
  fields.set("X-Request-Id", request_id_);
  if (config_.allow_origin.empty()) return;
  fields.set(http::field::access_control_allow_origin, config_.allow_origin);
  fields.set(http::field::access_control_expose_headers, "X-Request-Id, Retry-After");
  if (config_.allow_origin != "*") fields.set(http::field::vary, "Origin");
}

void Exchange::renew_write_timeout() { stream_.expires_after(config_.write_timeout); }

asio::awaitable<void> Exchange::respond(Response response) {
  HALOD_ASSERT(!answered());
  http::response<http::string_body> message(response.status, request_.version());
  set_common_headers(message);
  if (!response.content_type.empty()) message.set(http::field::content_type, response.content_type);
  for (const auto& [name, value] : response.headers) message.set(name, value);
  message.keep_alive(keep_alive_);
  message.content_length(response.body.size());
  if (request_.method() != http::verb::head) message.body() = std::move(response.body);
  status_ = message.result_int();
  renew_write_timeout();
  if (request_.method() == http::verb::head) {
    http::response_serializer<http::string_body> serializer(message);
    co_await http::async_write_header(stream_, serializer, asio::use_awaitable);
  } else {
    co_await http::async_write(stream_, message, asio::use_awaitable);
  }
}

asio::awaitable<void> Exchange::begin_events() {
  HALOD_ASSERT(!answered());
  http::response<http::empty_body> head(http::status::ok, request_.version());
  set_common_headers(head);
  head.set(http::field::content_type, "text/event-stream; charset=utf-8");
  head.set(http::field::cache_control, "no-cache");
  head.set("X-Accel-Buffering", "no");  // nginx would hold the tokens back
  // HTTP/1.0 has no chunks: there the end of the connection is the end of the answer.
  chunked_ = request_.version() >= 11;
  keep_alive_ = keep_alive_ && chunked_;
  head.keep_alive(keep_alive_);
  head.chunked(chunked_);
  status_ = head.result_int();
  http::response_serializer<http::empty_body> serializer(head);
  renew_write_timeout();
  co_await http::async_write_header(stream_, serializer, asio::use_awaitable);
}

asio::awaitable<void> Exchange::send_events(std::string_view events) {
  if (events.empty()) co_return;  // an empty chunk would end the answer
  renew_write_timeout();
  const asio::const_buffer bytes = asio::buffer(events);
  if (chunked_) {
    co_await asio::async_write(stream_, http::make_chunk(bytes), asio::use_awaitable);
  } else {
    co_await asio::async_write(stream_, bytes, asio::use_awaitable);
  }
}

asio::awaitable<void> Exchange::end_events(std::string_view last) {
  HALOD_ASSERT(!last.empty());
  renew_write_timeout();
  const asio::const_buffer bytes = asio::buffer(last);
  if (chunked_) {
    const auto chunks = boost::beast::buffers_cat(http::make_chunk(bytes), http::make_chunk_last());
    co_await asio::async_write(stream_, chunks, asio::use_awaitable);
  } else {
    co_await asio::async_write(stream_, bytes, asio::use_awaitable);
  }
}

}  // namespace halod
