// What a backend offers to whoever tunes it: the engine while a model loads or is idle, and halo-bench tune.
#pragma once

#include <string>
#include <string_view>

#include "runtime/backend/tuning/tuning_text.h"

namespace halod {

/// Gaps are what could be chosen for the weights placed so far and has not been measured: shape classes by
/// classes of tokens. Answers never change with what is chosen. Thread: the backend's.
class Tuner {
 public:
  virtual ~Tuner() = default;

  virtual std::string_view device() const = 0;  ///< "cpu": names the file
  /// Puts in force what fits the weights placed so far, and the defaults for everything else. Logs once when
  /// there is a solution among it that this build does not have.
  virtual void use(const TuningResults& results) = 0;
  virtual int n_gaps() const = 0;
  /// Of all that could be chosen, gaps included.
  virtual int n_selections() const = 0;
  /// Does some milliseconds of work on a gap. False: there is none, or no memory to measure on.
  virtual bool step() = 0;
  /// What step() has found since the last call. It is in force already.
  virtual TuningResults take_found() = 0;
  /// Frees what step() measures on.
  virtual void pause() = 0;
};

}  // namespace halod
