#include "daemon/http/deliver_answer.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <boost/asio/use_awaitable.hpp>
#include <boost/json/serialize.hpp>
#include <ctime>

#include "daemon/http/error_response.h"
#include "daemon/http/json_body.h"

namespace halod {
namespace {

namespace asio = boost::asio;
namespace json = boost::json;

std::string event_text(const json::object& object) {
  return fmt::format("data: {}\n\n", json::serialize(object));
}

/// One answer on its way. The parts outlive it: it lives in deliver_answer's frame.
struct Delivery {
  Exchange& exchange;
  const PreparedAnswer& prepared;
  Generation& generation;
  Answer& answer;
  AnswerFormat& format;
};

asio::awaitable<void> stream_answer(Delivery delivery) {
  Exchange& exchange = delivery.exchange;
  co_await exchange.begin_events();
  bool failed = false;
  while (!failed && !delivery.generation.all_finished()) {
    const std::vector<GenerationEvent> events = co_await delivery.generation.next();
    const Result<std::vector<AnswerUpdate>> updates = delivery.answer.apply(events, delivery.generation);
    if (!updates) {
      // The head is sent: the error goes where the client is reading, as OpenAI does.
      co_await exchange.send_events(event_text(error_body(updates.error())));
      failed = true;
      continue;
    }
    std::string text;
    for (const AnswerUpdate& update : *updates) text += event_text(delivery.format.chunk(update));
    co_await exchange.send_events(text);
  }
  std::string last;
  if (delivery.prepared.request.include_usage && !failed) {
    last = event_text(delivery.format.usage_chunk(delivery.answer.usage(delivery.prepared.n_prompt_tokens)));
  }
  last += "data: [DONE]\n\n";
  co_await exchange.end_events(last);
}

asio::awaitable<void> send_whole_answer(Delivery delivery) {
  std::vector<AnswerUpdate> choices(delivery.prepared.choices.size());
  for (uint32_t choice_idx = 0; choice_idx < choices.size(); ++choice_idx)
    choices[choice_idx].choice_idx = choice_idx;
  while (!delivery.generation.all_finished()) {
    const std::vector<GenerationEvent> events = co_await delivery.generation.next();
    Result<std::vector<AnswerUpdate>> updates = delivery.answer.apply(events, delivery.generation);
    if (!updates) {
      co_await delivery.exchange.respond(error_response(updates.error()));
      co_return;
    }
    for (AnswerUpdate& update : *updates) merge(choices[update.choice_idx], std::move(update));
  }
  const AnswerUsage usage = delivery.answer.usage(delivery.prepared.n_prompt_tokens);
  co_await delivery.exchange.respond(json_response(delivery.format.whole(choices, usage)));
}

}  // namespace

asio::awaitable<void> deliver_answer(const Api& api, Exchange& exchange, AnswerKind kind) {
  spdlog::debug("{} body: {}", exchange.request_id(), exchange.request().body());
  const auto parse = [&exchange] { return parse_json_body(exchange.request().body()); };
  const Result<json::object> body = co_await api.workers.run(parse);
  if (!body) co_return co_await exchange.respond(error_response(body.error()));
  const Result<std::string> name = requested_model(*body);
  if (!name) co_return co_await exchange.respond(error_response(name.error()));
  const Result<ServedModelPtr> model = co_await api.models.acquire(*name);
  if (!model) co_return co_await exchange.respond(error_response(model.error()));
  exchange.set_model_name((*model)->name);
  const auto prepare = [&body = *body, &model = **model, kind] { return kind.prepare(body, model); };
  Result<PreparedAnswer> prepared = co_await api.workers.run(prepare);
  if (!prepared) co_return co_await exchange.respond(error_response(prepared.error()));
  Result<Generation> generation = api.models.submit(**model, std::move(prepared->sequences));
  if (!generation) co_return co_await exchange.respond(error_response(generation.error()));
  const AnswerFormatArgs format_args{.head = {.id = random_hex(24),
                                              .created = std::time(nullptr),
                                              .model = (*model)->name,
                                              .fingerprint = "halod-" HALOD_VERSION},
                                     .tokenizer = (*model)->text->tokenizer(),
                                     .n_choices = prepared->choices.size(),
                                     .include_usage = prepared->request.include_usage,
                                     .logprobs = prepared->request.sampling.n_logprobs >= 0};
  const std::unique_ptr<AnswerFormat> format = kind.make_format(format_args);
  Answer answer((*model)->text->tokenizer(), prepared->choices);
  Delivery delivery{exchange, *prepared, *generation, answer, *format};
  if (prepared->request.stream) {
    co_await stream_answer(delivery);
  } else {
    co_await send_whole_answer(delivery);
  }
}

}  // namespace halod
