// What `systemctl status halod` says in one line.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "daemon/control/model_manager.h"
#include "daemon/control/readiness.h"

namespace halod {

/// The numbers of a moment.
struct ServiceSnapshot {
  Readiness readiness;
  std::string active_model;  ///< the one that is loaded first, and that readiness is about; may be empty
  std::vector<std::string> loaded;  ///< names of the models that answer, the active one first
  uint64_t n_running = 0;           ///< sequences that the engine works on
  uint64_t n_waiting = 0;        ///< accepted sequences that wait, in the engine's queue or for their model
  double tokens_per_second = 0;  ///< generated, over the last heartbeats
  std::string job;               ///< "swap demo: weights 45 %", while one runs; may be empty
  std::string note;              ///< what people should know besides; may be empty
};

/// Thread: the io thread.
ServiceSnapshot take_snapshot(const ModelManager& models);

/// "serving qwen3-coder-30b, 2 running, 34.1 tok/s"; one line, however many the parts have. Thread: any.
std::string status_line(const ServiceSnapshot& snapshot);

/// Whether the engine is looked after: none runs (the next one is coming), or it was heard of in the last two
/// heartbeat timeouts. Else even killing it did not help, and only a restart of the whole service may.
bool engine_is_looked_after(bool engine_runs, std::chrono::steady_clock::duration silence,
                            std::chrono::milliseconds heartbeat_timeout);

}  // namespace halod
