// One request and its answer, as a route sees them.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/verb.hpp>
#include <chrono>
#include <string>
#include <string_view>
#include <utility>

#include "daemon/config/config.h"
#include "daemon/http/response.h"

namespace halod {

/// Lives for one request; a route sends exactly one answer: respond(), or begin_events() … end_events(). A
/// failed write throws boost::system::system_error, which ends the connection. Thread: the io thread.
class Exchange {
 public:
  using Request = boost::beast::http::request<boost::beast::http::string_body>;

  /// `stream` and `config` outlive this.
  Exchange(boost::beast::tcp_stream& stream, const HttpConfig& config, Request request, bool keep_alive);

  const Request& request() const { return request_; }
  std::string_view path() const { return path_; }
  /// GET for HEAD: the answer differs in its missing body only.
  boost::beast::http::verb method() const;
  /// The client's own X-Request-Id when it is harmless, else a new one. On every answer and log line.
  const std::string& request_id() const { return request_id_; }

  /// The model that answers; for the log. Empty while none does.
  const std::string& model_name() const { return model_name_; }
  void set_model_name(std::string name) { model_name_ = std::move(name); }

  boost::asio::awaitable<void> respond(Response response);

  /// Server-sent events: the head now, then each event as it comes.
  boost::asio::awaitable<void> begin_events();
  /// `events`: whole "data: …\n\n" blocks. Waits until the client took them.
  boost::asio::awaitable<void> send_events(std::string_view events);
  /// `last`: the events that end the answer. In one piece with the end of the body, because clients hang up
  /// once they have read the last event.
  boost::asio::awaitable<void> end_events(std::string_view last);

  bool answered() const { return status_ != 0; }
  unsigned status() const { return status_; }
  /// Whether the connection can take another request afterwards.
  bool keep_alive() const { return keep_alive_; }

 private:
  template <class Fields>
  void set_common_headers(Fields& fields) const;
  void renew_write_timeout();

  boost::beast::tcp_stream& stream_;
  const HttpConfig& config_;
  Request request_;
  std::string path_;
  std::string request_id_;
  std::string model_name_;
  bool keep_alive_;
  bool chunked_ = false;
  unsigned status_ = 0;
};

/// Random hexadecimal digits for ids that need not be secret.
std::string random_hex(size_t n_digits);

}  // namespace halod
