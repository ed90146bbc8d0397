// The models that are resident in one engine process.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/error.h"
#include "runtime/backend/tuning/tuning_session.h"
#include "runtime/engine/engine.h"
#include "runtime/engine/model_loading.h"
#include "runtime/engine/wire.h"

namespace halod {

/// Loads, runs and unloads models side by side; each has an Engine of its own. Thread: the engine thread.
class ModelHost {
 public:
  /// The sink must outlive the host.
  ModelHost(ModelFactory factory, GenerationSink& sink) : factory_(std::move(factory)), sink_(sink) {}

  /// What a load tells: bytes of weights from any thread, one call at a time, then the warm-up.
  using Progress = std::function<void(std::string_view stage, uint64_t n_done, uint64_t n_total)>;
  /// Called again and again while a load goes on, on this thread; may call everything below. An error ends
  /// the load.
  using Meanwhile = std::function<Result<>()>;

  /// Adds a model and warms it up. Errors: those of the factory; kInvalidArgument for an id that is taken;
  /// what `meanwhile` returned.
  Result<wire::ModelLoaded> load(const wire::LoadModel& request, const Progress& progress,
                                 const Meanwhile& meanwhile);
  /// Frees a model and forgets what it was running. False when there is none of that id.
  bool unload(uint32_t model_id);
  bool contains(uint32_t model_id) const { return find(model_id) != nullptr; }

  /// As Engine::submit. Also ends at once when the model is not here: kUnavailable.
  void submit(wire::Submit submission);
  /// As Engine::cancel, whichever model runs it.
  void cancel(RequestId id);

  /// One step of each model that has work. False, and nothing done, when none has.
  bool step();
  bool has_work() const;

  /// Tuning in the background: whether idle_step() has something to do while has_work() is false.
  bool wants_idle_work() const;
  /// Some milliseconds of it; what computes a model now, when that has changed.
  std::optional<wire::Selections> idle_step();
  /// Writes what tuning has found, and takes over what other programs have written.
  std::vector<wire::Selections> look_after_tuning();

  std::vector<wire::ModelStats> stats() const;

 private:
  struct Resident {
    uint32_t model_id = 0;
    LoadedModel loaded;
    std::unique_ptr<Engine> engine;         // after the model: destroyed before it
    std::unique_ptr<TuningSession> tuning;  // after the backend
    uint64_t promised_bytes = 0;
  };

  Resident* find(uint32_t model_id) const;
  uint64_t promised_bytes() const;

  const ModelFactory factory_;
  GenerationSink& sink_;
  std::vector<std::unique_ptr<Resident>> residents_;
};

}  // namespace halod
