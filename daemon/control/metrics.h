// The numbers behind GET /metrics, in one place.
#pragma once

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <string>
#include <string_view>

#include "runtime/engine/wire.h"

namespace halod {

/// Thread: any (prometheus-cpp's values are atomic).
class Metrics {
 public:
  Metrics();

  void count_http_response(std::string_view route, unsigned status);
  void record_heartbeat(const wire::Pong& pong);
  /// Prometheus' text format.
  std::string serialize() const;

 private:
  prometheus::Registry registry_;  // owns all of the below
  prometheus::Family<prometheus::Counter>& http_responses_;

 public:
  prometheus::Gauge& connections;
  prometheus::Gauge& engine_ready;
  prometheus::Gauge& requests_unfinished;
  prometheus::Gauge& requests_running;
  prometheus::Gauge& requests_waiting;
  prometheus::Gauge& kv_pages_used;
  prometheus::Gauge& kv_pages_total;
  prometheus::Gauge& engine_steps;
  prometheus::Gauge& engine_busy_seconds;
  prometheus::Counter& engine_deaths;
  prometheus::Counter& requests_resumed;
  prometheus::Counter& requests_cancelled;
  prometheus::Counter& requests_refused;
  prometheus::Counter& prompt_tokens;
  prometheus::Counter& cached_prompt_tokens;
  prometheus::Counter& generated_tokens;
  prometheus::Histogram& time_to_first_token_seconds;
  prometheus::Histogram& request_seconds;
};

}  // namespace halod
