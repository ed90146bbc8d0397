// What tests of the control plane stand on: a ControlPlane, and clients in this process.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_future.hpp>
#include <future>
#include <string>
#include <vector>

#include "tests/daemon/support/control_plane.h"

namespace halod {

inline std::vector<int32_t> tokens_of(const std::vector<GenerationEvent>& events) {
  std::vector<int32_t> ids;
  for (const GenerationEvent& event : events) {
    if (const auto* token = std::get_if<GeneratedToken>(&event.what)) ids.push_back(token->token_id);
  }
  return ids;
}

inline const RequestFinished& last_word(const std::vector<GenerationEvent>& events) {
  return std::get<RequestFinished>(events.back().what);
}

/// The engine answers with the prompt's first token, the next one, and so on; the tenth ends the answer.
class AControlPlane : public ::testing::Test {
 protected:
  AControlPlane() {
    engine_.next_token = [](const GenerationRequest& request, uint32_t answer_idx) {
      return answer_idx == 9 ? 256 : request.prompt.front() + static_cast<int32_t>(answer_idx);
    };
    plane_.config.limits.max_requests = 16;
  }

  void start_and_wait() {
    plane_.start();
    ASSERT_TRUE(wait_until([this] { return models().readiness().ready(); }));
  }
  ModelManager& models() { return *plane_.models; }

  template <class Condition>
  bool wait_until(Condition condition) {
    return plane_.thread.wait_until(std::move(condition));
  }
  template <class Function>
  auto on_io(Function function) {
    return plane_.thread.call(std::move(function));
  }
  ServiceState state() {
    return on_io([this] { return models().readiness().state; });
  }

  /// Waits for the model, queues, and collects the answer to its end.
  boost::asio::awaitable<Result<std::vector<GenerationEvent>>> ask(std::string model,
                                                                   std::vector<GenerationRequest> requests) {
    const Result<ServedModelPtr> served = co_await models().acquire(std::move(model));
    if (!served) co_return served.error();
    Result<Generation> generation = models().submit(**served, std::move(requests));
    if (!generation) co_return generation.error();
    std::vector<GenerationEvent> all;
    while (!generation->all_finished()) {
      for (GenerationEvent& event : co_await generation->next()) all.push_back(std::move(event));
    }
    co_return all;
  }
  using Answer = std::future<Result<std::vector<GenerationEvent>>>;
  Answer submit(std::vector<GenerationRequest> requests, const std::string& model = "") {
    return boost::asio::co_spawn(plane_.thread.io(), ask(model, std::move(requests)),
                                 boost::asio::use_future);
  }
  Answer submit_one(int32_t first_token, uint32_t max_tokens = 100, const std::string& model = "") {
    return submit({GenerationRequest{.prompt = {first_token}, .max_tokens = max_tokens}}, model);
  }
  template <class Function>
  void on_engine(Function function) {
    on_io([&] { function(engine_); });
  }

  ControlPlane plane_{[](const ModelSpec&) { return make_test_text("{{ messages }}"); }};
  FakeEngine& engine_ = plane_.engine;
  Metrics& metrics_ = plane_.metrics;
};

}  // namespace halod
