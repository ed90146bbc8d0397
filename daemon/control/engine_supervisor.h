// Keeps one engine alive and lets requests outlive it.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "daemon/config/config.h"
#include "daemon/control/engine_launcher.h"
#include "daemon/control/engine_link.h"
#include "daemon/control/generation.h"
#include "daemon/control/metrics.h"
#include "daemon/control/readiness.h"
#include "daemon/control/request_table.h"
#include "runtime/engine/wire.h"

namespace halod {

/// Starts the engine, loads the model, hands requests down and tokens up, and watches. When the engine dies
/// it is started again after a delay and every unfinished request is resubmitted with what it has: its
/// consumer sees a pause, not an error. Thread: the io thread; everything that `launcher` and `metrics` refer
/// to outlives this.
class EngineSupervisor {
 public:
  struct Setup {
    boost::asio::any_io_executor executor;
    EngineLauncher& launcher;
    Metrics& metrics;
    EngineConfig config;
    uint32_t max_requests = 0;
    wire::LoadModel model;
    std::function<void(const Readiness&)> on_readiness = {};  ///< called at each change
  };
  explicit EngineSupervisor(Setup setup);
  ~EngineSupervisor();
  EngineSupervisor(const EngineSupervisor&) = delete;
  EngineSupervisor& operator=(const EngineSupervisor&) = delete;

  /// Runs until shutdown() has ended it. Call once.
  /// Errors: the engine cannot be started, or the model not loaded, and it never was ready. Once it was, it
  /// is retried for ever.
  boost::asio::awaitable<Result<>> run();

  /// Waits up to `timeout` for the requests to finish, cancels the rest (kUnavailable), ends the engine and
  /// with it run().
  boost::asio::awaitable<void> shutdown(std::chrono::milliseconds timeout);

  const Readiness& readiness() const { return readiness_; }
  /// What the engine said of the loaded model; nullptr before the first time it was ready.
  const wire::ModelLoaded* model() const { return model_ ? &*model_ : nullptr; }
  int64_t engine_pid() const { return process_ ? process_->pid() : 0; }
  size_t n_unfinished() const { return requests_.size(); }

  /// Queues one sequence per element, all or none; request ids are given here. max_tokens 0 = what the
  /// context has room for. Errors: kUnavailable (with the reason), kQueueFull, kContextOverflow,
  /// kInvalidArgument.
  Result<Generation> submit(std::vector<GenerationRequest> requests);

 private:
  boost::asio::awaitable<Result<>> run_engine();
  boost::asio::awaitable<Error> read_frames();
  boost::asio::awaitable<Error> watch_heartbeat();
  boost::asio::awaitable<void> back_off();
  Result<> handle(const wire::Frame& frame);
  Result<> handle_loaded(wire::ModelLoaded loaded);
  Result<> handle_token(GeneratedToken token);
  void handle_progress(const wire::LoadProgress& progress);
  void handle_finished(RequestFinished finished);
  Result<> engine_ended(const Error& reason, const std::string& how);
  void submit_waiting();
  void cancel(uint64_t request_id);
  void forget(uint64_t request_id);
  void fail(LiveRequest request, ErrorCode code, std::string message);
  void set_readiness(EngineState state, std::string reason, int percent = 0);
  bool stopping() const { return readiness_.state == EngineState::kStopping; }

  Setup setup_;
  Readiness readiness_;
  RequestTable requests_;
  uint64_t next_request_id_ = 1;
  std::optional<wire::ModelLoaded> model_;
  std::unique_ptr<EngineProcess> process_;
  std::shared_ptr<EngineLink> link_;
  std::optional<Error> load_failure_;
  std::chrono::steady_clock::time_point ready_since_{};
  std::chrono::steady_clock::time_point last_heard_{};
  uint32_t n_deaths_in_a_row_ = 0;
  bool running_ = false;
  boost::asio::steady_timer delay_;                             // between two engines; cancelled by shutdown
  boost::asio::steady_timer idle_;                              // cancelled when the last request is gone
  boost::asio::steady_timer run_ended_;                         // cancelled when run() returns
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // Generations outlive us in tests and at exit
};

}  // namespace halod
