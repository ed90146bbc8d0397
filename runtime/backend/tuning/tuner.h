// What a backend offers to whoever tunes it: the engine while a model loads or is idle, and halo-bench tune.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/backend/tuning/tuning_text.h"

namespace halod {

class Checkpoint;

/// A choice and what it gains, in milliseconds.
struct TuningComparison {
  TuningKey key;
  std::string solution;
  double untuned_ms = 0, tuned_ms = 0;
};

/// Gaps are what could be chosen for the weights placed so far and has not been measured: shape classes by
/// classes of tokens. Answers never change with what is chosen. Thread: the backend's.
class Tuner {
 public:
  virtual ~Tuner() = default;

  virtual std::string_view device() const = 0;  ///< "cpu", "gfx1151": names the file
  /// What results depend on: the device, its driver, our kernels.
  virtual Validators validators() const = 0;
  /// Counts the file's weights as placed, without reading one: for who measures beside a server.
  virtual void expect(const Checkpoint& file) = 0;
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
  /// Times what is in force and is not the default against the default once more: the times that it was
  /// chosen by flatter it. Takes as long as it takes. Throws ErrorException where there is no memory.
  virtual std::vector<TuningComparison> compare() = 0;
};

}  // namespace halod
