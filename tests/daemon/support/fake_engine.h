// An engine that a test plays: it speaks wire.h over a real socket pair and says what the test wants, when
// the test wants it.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/control/engine_launcher.h"
#include "daemon/control/engine_link.h"
#include "runtime/engine/wire.h"

namespace halod {

/// Launches itself. Tokens come by step(), or by themselves when `automatic`. What it answers depends on the
/// prompt and the position alone, so an answer that was resumed can be compared with one that was not.
/// Thread: the io thread.
class FakeEngine : public EngineLauncher {
 public:
  explicit FakeEngine(const boost::asio::any_io_executor& executor) : executor_(executor) {}

  // What the next engine does.
  bool automatic = true;  ///< answers to the end at once
  bool load_by_itself = true;
  bool can_launch = true;
  bool answers_pings = true;
  bool dies_on_submit = false;
  bool was_killed = false;                        ///< what its parent is told: ended by SIGKILL
  std::optional<wire::LoadFailure> load_failure;  ///< of every load
  std::map<std::string, uint64_t> memory_needed;  ///< by path; a load that passes `memory` is refused
  uint64_t memory = UINT64_MAX;
  bool next_failure_after_room = false;  ///< the next load that would fit finds its file damaged
  wire::ModelLoaded loaded{.architecture = "fake",
                           .backend = "cpu",
                           .device = "test",
                           .vocab_size = 512,
                           .context_length = 4096,
                           .max_sequences = 8};
  /// The token at a place of an answer; the end-of-sequence token ends it.
  std::function<int32_t(const GenerationRequest&, uint32_t answer_idx)> next_token;
  int32_t eos = 256;

  // What was asked of all engines so far.
  int n_launched = 0;
  int n_pings = 0;
  std::vector<GenerationRequest> submitted;
  std::vector<std::string> loads;  ///< their paths
  std::vector<uint64_t> cancelled;
  bool got_shutdown = false;

  Result<std::unique_ptr<EngineProcess>> launch() override;

  bool running() const { return link_ != nullptr; }
  size_t n_live() const { return live_.size(); }
  /// Paths of the models that are resident.
  std::vector<std::string> resident() const;
  /// Makes up to `n` tokens for every live request, or for one.
  void step(uint32_t n, std::optional<uint64_t> request_id = std::nullopt);
  void send(std::string frame);
  /// Of the load that began last.
  void finish_load();
  void die();

 private:
  class Process;
  boost::asio::awaitable<void> serve(std::shared_ptr<EngineLink> link);
  void handle(const wire::Frame& frame);
  void begin_load(wire::LoadModel request);
  bool advance(GenerationRequest& request);

  boost::asio::any_io_executor executor_;
  std::shared_ptr<EngineLink> link_;
  struct Live {
    uint32_t model_id = 0;
    GenerationRequest request;
  };
  std::map<uint64_t, Live> live_;
  std::map<uint32_t, std::string> resident_;
  std::optional<wire::LoadModel> loading_;
};

}  // namespace halod
