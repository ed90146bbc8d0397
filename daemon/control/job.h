// Work on models that takes a while, and that anybody can watch.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "daemon/control/ids.h"

namespace halod {

enum class JobKind : uint8_t { kLoad, kUnload, kSwap, kRescan };
enum class JobState : uint8_t { kWaiting, kRunning, kDone, kCancelled, kFailed };

std::string_view to_string(JobKind kind);    ///< "load", "unload", "swap", "rescan"
std::string_view to_string(JobState state);  ///< "waiting", "running", "done", "cancelled", "failed"

/// What happens to the requests that run on a model which is to go.
enum class DrainPolicy : uint8_t {
  kDrain,  ///< they finish first, as far as the drain timeout lets them
  kPause,  ///< they are put aside at once
};
std::string_view to_string(DrainPolicy policy);  ///< "drain", "pause"
/// Nothing when it is neither.
std::optional<DrainPolicy> drain_policy_from(std::string_view name);

/// Who asked, for the log and for those who watch.
struct Requester {
  std::string name = "halod";  ///< "halod" for its own decisions, "http", or a unique name on the bus
  uint32_t uid = 0;
};

/// Lives on after the caller has gone, and a while after its own end.
struct Job {
  JobId id{};
  JobKind kind = JobKind::kLoad;
  std::optional<ModelId> model;  ///< none for a rescan
  std::string model_name;
  DrainPolicy policy = DrainPolicy::kDrain;
  Requester requester;
  JobState state = JobState::kWaiting;
  std::string stage = "queued";  ///< queued, tokenizer, weights, warm-up, tuning, drain, unload, ready
  uint64_t bytes_done = 0;       ///< of the weights
  uint64_t bytes_total = 0;
  std::optional<double> tuned_fraction;  ///< of the stage tuning: that is what is counted then
  std::chrono::system_clock::time_point created_at{};
  std::chrono::steady_clock::time_point started_at{};
  double seconds = 0;          ///< from start to end, once it has ended
  std::optional<Error> error;  ///< of a failed one
  bool cancel_requested = false;

  bool ended() const { return state != JobState::kWaiting && state != JobState::kRunning; }
  /// 0 … 1 of the stage, by bytes while there are bytes to count.
  double fraction() const;
};

}  // namespace halod
