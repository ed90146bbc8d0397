#include "daemon/control/metrics.h"

#include <fmt/format.h>
#include <prometheus/text_serializer.h>

namespace halod {
namespace {

prometheus::Gauge& gauge(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add({});
}

prometheus::Counter& counter(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add({});
}

prometheus::Histogram& histogram(prometheus::Registry& registry, const char* name, const char* help) {
  // From a cached prompt on a GPU (10 ms) to a long prompt on a CPU (5 minutes).
  const prometheus::Histogram::BucketBoundaries bounds{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,
                                                       2.5,  5,     10,   30,  60,   120, 300};
  return prometheus::BuildHistogram().Name(name).Help(help).Register(registry).Add({}, bounds);
}

}  // namespace

Metrics::Metrics()
    : http_responses_(prometheus::BuildCounter()
                          .Name("halod_http_responses_total")
                          .Help("HTTP responses by route and status")
                          .Register(registry_)),
      connections(gauge(registry_, "halod_http_connections", "Open client connections")),
      engine_ready(gauge(registry_, "halod_engine_ready", "1 when requests are accepted")),
      requests_unfinished(gauge(registry_, "halod_requests_unfinished",
                                "Sequences that halod has accepted and not finished")),
      requests_running(gauge(registry_, "halod_engine_requests_running",
                             "Sequences in the engine's batch, at the last heartbeat")),
      requests_waiting(gauge(registry_, "halod_engine_requests_waiting",
                             "Sequences that wait in the engine, at the last heartbeat")),
      kv_pages_used(gauge(registry_, "halod_kv_pages_used", "KV cache pages in use")),
      kv_pages_total(gauge(registry_, "halod_kv_pages", "KV cache pages there are")),
      engine_steps(
          gauge(registry_, "halod_engine_steps", "Steps of the resident models since they were loaded")),
      engine_busy_seconds(gauge(registry_, "halod_engine_busy_seconds", "Seconds inside those steps")),
      engine_deaths(counter(registry_, "halod_engine_deaths_total", "Engine processes that ended unasked")),
      requests_resumed(
          counter(registry_, "halod_requests_resumed_total", "Sequences resubmitted after an engine death")),
      requests_cancelled(
          counter(registry_, "halod_requests_cancelled_total", "Sequences cancelled before their end")),
      requests_refused(counter(registry_, "halod_requests_refused_total", "Requests refused at admission")),
      prompt_tokens(counter(registry_, "halod_prompt_tokens_total", "Prompt tokens of finished sequences")),
      cached_prompt_tokens(
          counter(registry_, "halod_cached_prompt_tokens_total", "Of those, tokens whose KV was kept")),
      generated_tokens(counter(registry_, "halod_generated_tokens_total", "Tokens generated")),
      time_to_first_token_seconds(histogram(registry_, "halod_time_to_first_token_seconds",
                                            "From admission to the first token of a sequence")),
      request_seconds(
          histogram(registry_, "halod_request_seconds", "From admission to the end of a sequence")) {}

void Metrics::count_http_response(std::string_view route, unsigned status) {
  http_responses_.Add({{"route", std::string(route)}, {"status", std::to_string(status)}}).Increment();
}

void Metrics::record_heartbeat(const wire::Pong& pong) {
  const auto total = [&pong](auto wire::ModelStats::*number) {
    double sum = 0;
    for (const wire::ModelStats& model : pong.models) sum += static_cast<double>(model.*number);
    return sum;
  };
  requests_running.Set(total(&wire::ModelStats::n_running));
  requests_waiting.Set(total(&wire::ModelStats::n_waiting));
  kv_pages_used.Set(total(&wire::ModelStats::kv_pages_used));
  kv_pages_total.Set(total(&wire::ModelStats::kv_pages_total));
  engine_steps.Set(total(&wire::ModelStats::n_steps));
  engine_busy_seconds.Set(total(&wire::ModelStats::busy_seconds));
}

std::string Metrics::serialize() const { return prometheus::TextSerializer().Serialize(registry_.Collect()); }

}  // namespace halod
