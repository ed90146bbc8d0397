// The requests that are not finished, and what an engine's death does to them. Decisions only: no I/O.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "daemon/control/generation.h"
#include "daemon/control/ids.h"
#include "runtime/engine/request.h"

namespace halod {

struct LiveRequest {
  ModelId model{};
  GenerationRequest
      request;  ///< `generated` grows with each token, so that it can be resubmitted at any time
  std::shared_ptr<GenerationQueue> queue;
  uint32_t choice_idx = 0;
  std::chrono::steady_clock::time_point accepted_at{};
  bool in_engine = false;   ///< submitted to the engine that runs now
  bool progressed = false;  ///< got a token from the engine that runs now
  uint32_t n_deaths = 0;    ///< engine deaths in a row that it was running at, without a token between them
};

/// Thread: the io thread.
///
/// A request that kills the engine must not do so for ever, and must not take its neighbours along: a
/// *suspect* (one death short of the limit) goes into the engine alone among suspects, so that the last death
/// meets only the guilty one. A token clears it.
class RequestTable {
 public:
  /// `max_deaths` >= 1.
  explicit RequestTable(uint32_t max_deaths) : max_deaths_(max_deaths) {}

  size_t size() const { return requests_.size(); }
  bool empty() const { return requests_.empty(); }
  size_t n_unfinished(ModelId model) const;
  size_t n_in_engine(ModelId model) const;
  void add(LiveRequest request);
  LiveRequest* find(uint64_t request_id);
  void erase(uint64_t request_id) { requests_.erase(request_id); }
  /// Takes all of them out.
  std::vector<LiveRequest> take_all();
  std::vector<LiveRequest> take_all(ModelId model);

  /// Records a token. True when it cleared a suspect, so that submittable() may have more to offer.
  static bool record_token(LiveRequest& request, int32_t token_id);

  /// Those that may go to the engine now, oldest first, as far as their models take requests; marks them as
  /// submitted. Borrowed until the table changes.
  std::vector<const LiveRequest*> submittable(const std::function<bool(ModelId)>& takes_requests);

  /// The engine gave a model back, and with it whatever it ran of it: those requests become submittable
  /// again.
  void model_unloaded(ModelId model);

  /// The engine died while it could run `max_sequences(model)` at once. Takes out and returns the requests
  /// that must be failed; the others become submittable again. An `innocent` death counts against none of
  /// them.
  std::vector<LiveRequest> engine_died(const std::function<size_t(ModelId)>& max_sequences, bool innocent);

 private:
  bool is_suspect(const LiveRequest& request) const {
    return request.n_deaths > 0 && request.n_deaths + 1 >= max_deaths_;
  }

  uint32_t max_deaths_;
  std::map<uint64_t, LiveRequest> requests_;  // by id, which is the order of submission
};

}  // namespace halod
