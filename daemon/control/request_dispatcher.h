// Hands requests down to the engine and their tokens up, and lets them outlive engines and models.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "daemon/control/generation.h"
#include "daemon/control/ids.h"
#include "daemon/control/metrics.h"
#include "daemon/control/request_table.h"
#include "daemon/control/signal.h"
#include "runtime/engine/wire.h"

namespace halod {

/// What a model can take: the engine's word when it was loaded last.
struct ModelLimits {
  uint32_t context_length = 0;  ///< tokens per sequence
  uint32_t vocab_size = 0;
};

/// A request of a model that is away (being swapped, restarted with the engine) waits here until it is back.
/// Thread: the io thread.
class RequestDispatcher {
 public:
  struct Setup {
    boost::asio::any_io_executor executor;
    Metrics& metrics;  ///< outlives this
    uint32_t max_requests = 0;
    uint32_t max_deaths_per_request = 0;
  };
  explicit RequestDispatcher(Setup setup);
  ~RequestDispatcher();
  RequestDispatcher(const RequestDispatcher&) = delete;
  RequestDispatcher& operator=(const RequestDispatcher&) = delete;

  /// Queues one sequence per element, all or none; request ids are given here. max_tokens 0 = what the
  /// context has room for. Errors: kUnavailable while closing, kQueueFull, kContextOverflow,
  /// kInvalidArgument.
  Result<Generation> submit(ModelId model, const ModelLimits& limits,
                            std::vector<GenerationRequest> requests);
  size_t n_unfinished() const { return requests_.size(); }
  size_t n_unfinished(ModelId model) const { return requests_.n_unfinished(model); }
  uint32_t max_requests() const { return setup_.max_requests; }
  /// Called after n_unfinished() changed.
  void on_count_changed(std::function<void()> tell) { tell_count_ = std::move(tell); }

  // -- the models, as the manager moves them

  using SendFrame = std::function<void(std::string)>;
  void engine_started(SendFrame send) { send_ = std::move(send); }
  /// The engine knows the model by this id now: what waits for it is submitted.
  void model_loaded(ModelId model, uint32_t engine_model_id, uint32_t max_sequences);
  /// From here on the engine gets nothing more of it; what runs goes on.
  void hold(ModelId model);
  /// The opposite of hold().
  void release(ModelId model);
  /// What it ran waits again.
  void model_unloaded(ModelId model);
  /// What it ran waits again, but for those that were running at too many deaths that were not `innocent`.
  void engine_ended(bool innocent);
  /// Returns once the engine runs nothing of the model, or at the deadline, or when `give_up` says so after
  /// a wake().
  boost::asio::awaitable<void> wait_until_drained(ModelId model,
                                                  std::chrono::steady_clock::time_point deadline,
                                                  const std::function<bool()>& give_up);
  size_t n_in_engine(ModelId model) const { return requests_.n_in_engine(model); }
  /// Ends every request of the model with an error.
  void fail_all(ModelId model, ErrorCode code, const std::string& message);

  /// Takes nothing more; waits up to `timeout` for what is there and ends the rest with kUnavailable.
  boost::asio::awaitable<void> close(std::chrono::milliseconds timeout, bool engine_is_there);
  /// Wakes wait_until_drained() to look again.
  void wake() { drained_.notify(); }

  // -- the engine's frames. Errors: kInternal when it breaks the protocol

  Result<> handle(wire::Tokens tokens);
  void handle(RequestFinished finished);

 private:
  struct Residency {
    uint32_t engine_model_id = 0;
    uint32_t max_sequences = 0;
    bool takes_requests = false;
  };

  Result<> handle_token(GeneratedToken token);
  void submit_waiting();
  void cancel(uint64_t request_id);
  void forget(uint64_t request_id);
  void fail(LiveRequest request, ErrorCode code, std::string message);
  void count();

  Setup setup_;
  RequestTable requests_;
  std::map<ModelId, Residency> residencies_;
  SendFrame send_;
  std::function<void()> tell_count_;
  uint64_t next_request_id_ = 1;
  bool closing_ = false;
  Signal drained_;                                              // a request is gone
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // Generations outlive us in tests and at exit
};

}  // namespace halod
