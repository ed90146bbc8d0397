// The thread that alone owns the model, its KV cache and the device.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <thread>
#include <variant>
#include <vector>

#include "runtime/engine/frame_outbox.h"
#include "runtime/engine/model_host.h"
#include "runtime/engine/wire.h"

namespace halod {

/// Takes commands, runs steps while there is work and sleeps otherwise. Answers go to the outbox as whole
/// frames: the tokens of a round in one, then the requests that ended with it. While a model is loaded the
/// other models go on between its tensors. Pings are answered between steps, between commands and between
/// tensors: what hangs does not answer. Thread: public functions from any thread.
class EngineThread {
 public:
  using Command = std::variant<wire::LoadModel, wire::Unload, wire::Submit, wire::Cancel, wire::Ping>;

  /// Starts the thread. The outbox must outlive it.
  EngineThread(ModelFactory factory, FrameOutbox& outbox);
  /// Stops after the step, or the load, that is going on.
  ~EngineThread();
  EngineThread(const EngineThread&) = delete;
  EngineThread& operator=(const EngineThread&) = delete;

  /// Queues a command that took `n_bytes` on the wire.
  void post(Command command, size_t n_bytes);
  /// Wire bytes of the commands that wait. The outbox wakes its reader each time that they are used up.
  size_t n_queued_bytes() const { return n_queued_bytes_.load(std::memory_order_relaxed); }
  /// True once the engine has failed and said why on standard error; the process should end.
  bool failed() const { return failed_.load(std::memory_order_acquire); }

 private:
  /// Collects what one round produces.
  class RoundSink : public GenerationSink {
   public:
    void on_token(const GeneratedToken& token) override { tokens.tokens.push_back(token); }
    void on_finished(const RequestFinished& end) override { finished.push_back(end); }
    wire::Tokens tokens;
    std::vector<RequestFinished> finished;
  };
  struct QueuedCommand {
    Command command;
    size_t n_bytes = 0;
  };

  void run();
  void loop();
  bool wait_for_work();
  std::optional<Command> next_command();
  bool can_wait(const Command& command) const;
  Result<> serve_meanwhile();
  void flush_round();
  template <class Message>
  void send(wire::FrameType type, const Message& message);

  void handle(const wire::LoadModel& request);
  void handle(const wire::Unload& request);
  void handle(wire::Submit& submission);
  void handle(const wire::Cancel& cancel);
  void handle(const wire::Ping& ping);
  void report_progress(std::string_view stage, uint64_t n_done, uint64_t n_total);

  FrameOutbox& outbox_;
  std::atomic<bool> failed_{false};
  std::atomic<size_t> n_queued_bytes_{0};

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<QueuedCommand> inbox_;  // guarded by mutex_
  bool stopping_ = false;            // guarded by mutex_

  // The engine thread's own.
  RoundSink sink_;
  ModelHost models_;
  std::optional<uint32_t> loading_{};  // the model that is being loaded ...
  bool load_cancelled_ = false;        // ... and shall not be any more
  std::chrono::steady_clock::time_point last_progress_{};
  std::chrono::steady_clock::time_point idle_since_{};

  std::thread thread_;  // last: everything above exists before it starts
};

}  // namespace halod
