// One model's tuning: its backend's tuner, the file, and what the configuration wants of them.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string_view>

#include "base/error.h"
#include "runtime/backend/tuning/tuner.h"
#include "runtime/backend/tuning/tuning_store.h"

namespace halod {

enum class TuningMode : uint8_t {
  kOff,         ///< the order of the tables
  kUse,         ///< what the file has
  kTune,        ///< that, and gaps are filled while the model loads
  kBackground,  ///< that, and gaps are filled while there is nothing else to do
};
/// "off", "use", "tune", "background"; kUse for anything else.
TuningMode tuning_mode_from(std::string_view name);

struct TuningOptions {
  TuningMode mode = TuningMode::kUse;
  std::chrono::milliseconds budget{20'000};              ///< of kTune: a model waits no longer for it
  std::filesystem::path directory = tuning_directory();  ///< empty: nothing is read or kept
};

/// Thread: the backend's.
class TuningSession {
 public:
  /// Puts in force what the file has. `tuner` outlives this; nullptr: nothing can be tuned, and nothing
  /// happens.
  TuningSession(Tuner* tuner, TuningOptions options);
  /// Writes what is not written yet.
  ~TuningSession();
  TuningSession(const TuningSession&) = delete;
  TuningSession& operator=(const TuningSession&) = delete;

  using Progress = std::function<void(uint64_t n_done, uint64_t n_total)>;
  using Meanwhile = std::function<Result<>()>;
  /// With kTune, fills gaps until there is none or the budget is spent. `meanwhile` is called every few
  /// milliseconds; its error ends it. Writes nothing yet.
  Result<> fill_gaps(const Progress& progress, const Meanwhile& meanwhile);

  /// With kBackground: whether idle_step() has something to do.
  bool wants_idle_work() const;
  /// Some milliseconds of work. True when what is in force has changed.
  bool idle_step();

  /// Reads the file again if somebody has written it. True when what is in force may have changed.
  bool refresh();
  /// Writes what has been found.
  void flush();

 private:
  void use_file();

  Tuner* const tuner_;
  const TuningOptions options_;
  std::unique_ptr<TuningStore> store_;  ///< null: there is no place for one
  TuningResults unwritten_;
  TuningResults kept_;  ///< found by this session, whether there is a file for it or not
  bool can_write_ = true;
  bool has_given_up_ = false;  ///< no memory to measure on
};

}  // namespace halod
