// Talking to the model: chat, complete.
#include <fmt/format.h>
#include <unistd.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cstdio>
#include <iostream>
#include <iterator>

#include "cli/commands.h"
#include "cli/exit_status.h"
#include "cli/http_control.h"

namespace halod::cli {
namespace {

namespace json = boost::json;

void add_sampling(json::object& body, const SamplingFlags& flags) {
  if (flags.temperature) body["temperature"] = *flags.temperature;
  if (flags.max_tokens) body["max_tokens"] = *flags.max_tokens;
  if (flags.seed) body["seed"] = *flags.seed;
}

void add_model(json::object& body, const std::string& model) {
  if (!model.empty()) body["model"] = model;
}

/// Prints a stream's chunks as they come: reasoning dimmed on a terminal, tool calls as JSON.
class ChunkPrinter {
 public:
  explicit ChunkPrinter(bool as_json) : as_json_(as_json), colours_(::isatty(STDOUT_FILENO) != 0) {}

  void print(std::string_view data) {
    if (as_json_) {
      fmt::print("{}\n", data);
      std::fflush(stdout);
      return;
    }
    json::error_code ec;
    const json::value chunk = json::parse(data, ec);
    const json::object* object = ec ? nullptr : chunk.if_object();
    if (!object) return;
    if (const json::value* error = object->if_contains("error")) return fail(*error);
    const json::value* choices = object->if_contains("choices");
    if (!choices || !choices->is_array() || choices->get_array().empty()) return;
    const json::value& choice = choices->get_array().front();
    const json::object* part = choice.is_object() ? &choice.get_object() : nullptr;
    if (!part) return;
    if (const json::value* text = part->if_contains("text")) return print_text(*text, false);
    const json::value* delta = part->if_contains("delta");
    if (delta && delta->is_object()) print_delta(delta->get_object());
  }

  void finish() {
    if (!as_json_) print_text(json::value("\n"), false);
  }
  const std::string& content() const { return content_; }
  bool failed() const { return failed_; }

 private:
  void print_delta(const json::object& delta) {
    if (const json::value* reasoning = delta.if_contains("reasoning_content")) print_text(*reasoning, true);
    if (const json::value* content = delta.if_contains("content")) print_text(*content, false);
    if (const json::value* calls = delta.if_contains("tool_calls"))
      print_text(json::value(json::serialize(*calls) + "\n"), false);
  }

  void print_text(const json::value& text, bool is_reasoning) {
    if (!text.is_string()) return;
    if (is_reasoning != in_reasoning_ && !text.get_string().empty()) {
      if (colours_) {
        fmt::print("{}", is_reasoning ? "\033[2m" : "\033[0m\n");
      } else if (!is_reasoning) {
        fmt::print("\n");
      }
      in_reasoning_ = is_reasoning;
    }
    const std::string_view view = text.get_string();
    fmt::print("{}", view);
    std::fflush(stdout);
    if (!is_reasoning) content_.append(view);
  }

  void fail(const json::value& error) {
    failed_ = true;
    const json::object* object = error.if_object();
    const json::value* message = object ? object->if_contains("message") : nullptr;
    fmt::print(stderr, "\nhaloctl: the answer broke off: {}\n", json::serialize(message ? *message : error));
  }

  bool as_json_;
  bool colours_;
  bool in_reasoning_ = false;
  bool failed_ = false;
  std::string content_;
};

/// One streamed answer; its content is put into `content`.
int stream(const ApiClient& client, std::string_view path, json::object body, bool as_json,
           std::string* content) {
  body["stream"] = true;
  ChunkPrinter printer(as_json);
  const auto reply = client.post_streaming(path, json::serialize(body),
                                           [&printer](std::string_view data) { printer.print(data); });
  if (!reply) return report_failure(failure_of(reply.error()));
  if (!reply->ok()) return report_failure(refusal_of(*reply));
  printer.finish();
  if (content) *content = printer.content();
  return printer.failed() ? kRefused : kSuccess;
}

std::string read_all_input() {
  return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
}

int talk(const ApiClient& client, const ChatFlags& flags, json::array messages) {
  fmt::print(stderr, "Talking to {}. An empty line or Ctrl-D ends it.\n", client.url());
  for (std::string line; fmt::print(stderr, "> "), std::getline(std::cin, line) && !line.empty();) {
    messages.push_back(json::object{{"role", "user"}, {"content", line}});
    json::object body{{"messages", messages}};
    add_model(body, flags.model);
    add_sampling(body, flags.sampling);
    std::string answer;
    const int status = stream(client, "/v1/chat/completions", std::move(body), false, &answer);
    if (status == kUnreachable) return status;
    if (status == kSuccess) {
      messages.push_back(json::object{{"role", "assistant"}, {"content", answer}});
    } else {
      messages.pop_back();  // the question that got no answer
    }
  }
  return kSuccess;
}

}  // namespace

int run_chat(const ApiClient& client, bool as_json, const ChatFlags& flags) {
  json::array messages;
  if (!flags.system.empty()) messages.push_back(json::object{{"role", "system"}, {"content", flags.system}});
  if (flags.text.empty() && ::isatty(STDIN_FILENO) != 0) return talk(client, flags, std::move(messages));
  messages.push_back(
      json::object{{"role", "user"}, {"content", flags.text.empty() ? read_all_input() : flags.text}});
  json::object body{{"messages", std::move(messages)}};
  add_model(body, flags.model);
  add_sampling(body, flags.sampling);
  return stream(client, "/v1/chat/completions", std::move(body), as_json, nullptr);
}

int run_complete(const ApiClient& client, bool as_json, const CompleteFlags& flags) {
  json::object body{{"prompt", flags.text.empty() ? read_all_input() : flags.text}};
  add_model(body, flags.model);
  add_sampling(body, flags.sampling);
  return stream(client, "/v1/completions", std::move(body), as_json, nullptr);
}

}  // namespace halod::cli
