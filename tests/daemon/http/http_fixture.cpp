#include "tests/daemon/http/http_fixture.h"

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http.hpp>
#include <boost/json/parse.hpp>
#include <cctype>

namespace halod {

namespace asio = boost::asio;
namespace http = boost::beast::http;
namespace json = boost::json;
using asio::ip::tcp;

namespace {

constexpr std::string_view kTemplate =
    "{% if tools %}T{{ tools | length }}|{% endif %}{% for message in messages %}<|im_start|>{{ message.role "
    "}}:{{ message.content }}"
    "{% if message.tool_calls %}{% for call in message.tool_calls %}[{{ call.function.name }}:{{ "
    "call.function.arguments | tojson }}]"
    "{% endfor %}{% endif %}<|im_end|>{% endfor %}<|im_start|>assistant:{% if enable_thinking %}<think>{% "
    "endif %}";

}  // namespace

json::value HttpReply::json() const { return json::parse(body); }

std::string HttpReply::error(std::string_view member) const {
  const json::value value = json().at("error").at(member);
  return value.is_string() ? std::string(value.get_string()) : json::serialize(value);
}

std::vector<json::value> HttpReply::events() const {
  std::vector<json::value> events;
  for (size_t at = 0; (at = body.find("data: ", at)) != std::string::npos;) {
    const size_t end = body.find("\n\n", at);
    const std::string data = body.substr(at + 6, end - at - 6);
    if (data != "[DONE]") events.push_back(json::parse(data));
    at = end;
  }
  return events;
}

std::string HttpReply::text(size_t choice_idx) const {
  std::string text;
  const bool streamed = body.starts_with("data: ");
  for (const json::value& event : streamed ? events() : std::vector<json::value>{json()}) {
    for (const json::value& choice : event.at("choices").as_array()) {
      if (choice.at("index").to_number<size_t>() != choice_idx) continue;
      const json::object& object = choice.as_object();
      const json::value* part = object.if_contains("delta");
      if (!part) part = object.if_contains("message");
      const json::value* content =
          part ? part->as_object().if_contains("content") : object.if_contains("text");
      if (content && content->is_string()) text += std::string_view(content->get_string());
    }
  }
  return text;
}

HttpClient::HttpClient(uint16_t port) : socket_(io_) {
  socket_.connect({asio::ip::address_v4::loopback(), port});
}

void HttpClient::send(std::string_view bytes) { asio::write(socket_, asio::buffer(bytes)); }

void HttpClient::send_request(std::string_view method, std::string_view path, std::string_view body,
                              std::string_view headers) {
  send(fmt::format("{} {} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n{}\r\n{}", method, path,
                   body.size(), headers, body));
}

HttpReply HttpClient::receive(bool to_head) {
  http::response_parser<http::string_body> parser;
  parser.body_limit(64 << 20);
  parser.skip(to_head);
  auto dynamic = asio::dynamic_buffer(buffer_);
  http::read(socket_, dynamic, parser);
  HttpReply reply{.status = parser.get().result_int(),
                  .body = parser.get().body(),
                  .keep_alive = parser.get().keep_alive()};
  for (const auto& field : parser.get()) {
    std::string name(field.name_string());
    std::ranges::transform(name, name.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    reply.headers[name] = std::string(field.value());
  }
  return reply;
}

HttpReply HttpClient::post(std::string_view path, std::string_view body, std::string_view headers) {
  send_request("POST", path, body, headers);
  return receive();
}

HttpReply HttpClient::get(std::string_view path, std::string_view headers) {
  send_request("GET", path, "", headers);
  return receive();
}

std::string HttpClient::read_until(std::string_view mark) {
  const size_t n_bytes = asio::read_until(socket_, asio::dynamic_buffer(buffer_), mark);
  std::string read = buffer_.substr(0, n_bytes);
  buffer_.erase(0, n_bytes);
  return read;
}

bool HttpClient::closed_by_server() {
  timeval limit{.tv_sec = 10, .tv_usec = 0};
  ::setsockopt(socket_.native_handle(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  char byte = 0;
  return ::recv(socket_.native_handle(), &byte, 1, 0) == 0 || errno == ECONNRESET;
}

void HttpClient::reset_connection() {
  socket_.set_option(asio::socket_base::linger(true, 0));
  socket_.close();
}

ADaemon::ADaemon() : ADaemon([](const ModelSpec&) { return make_test_text(kTemplate); }) {}

ADaemon::ADaemon(std::function<Result<TextModel>(const ModelSpec&)> make_text)
    : plane_(std::move(make_text)) {
  engine_.next_token = [this](const GenerationRequest&, uint32_t answer_idx) {
    return answer_idx < answer.size() ? static_cast<int32_t>(static_cast<unsigned char>(answer[answer_idx]))
                                      : 256;
  };
}

ADaemon::~ADaemon() {
  plane_.workers.join();
  thread_.stop();
}

void ADaemon::start() {
  plane_.start();
  thread_.call([this] {
    const auto executor = thread_.io().get_executor();
    add_routes(router_, {.models = *plane_.models,
                         .workers = plane_.workers,
                         .metrics = metrics_,
                         .service = service_,
                         .machine = machine_,
                         .config = config_});
    server_ = std::make_unique<Server>(
        executor, SessionSetup{.config = config_.http, .router = router_, .metrics = metrics_});
    port_ = server_->listen({"127.0.0.1", 0}).value();
    asio::co_spawn(executor, server_->run(), asio::detached);
  });
}

void ADaemon::start_and_wait() {
  start();
  ASSERT_TRUE(wait_until_ready());
}

std::string ADaemon::chat_body(std::string_view members) {
  return fmt::format(R"({{"messages": [{{"role": "user", "content": "hello"}}]{}{}}})",
                     members.empty() ? "" : ", ", members);
}

std::string ADaemon::complete_body(std::string_view members) {
  return fmt::format(R"({{"prompt": "hello"{}{}}})", members.empty() ? "" : ", ", members);
}

}  // namespace halod
