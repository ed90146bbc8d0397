#include "daemon/service/status_line.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace halod {
namespace {

/// Less is shown as 0.0.
constexpr double kLeastShown = 0.05;

std::string describe(const Job& job) {
  const std::string what = job.model_name.empty() ? std::string(to_string(job.kind))
                                                  : fmt::format("{} {}", to_string(job.kind), job.model_name);
  if (job.bytes_total == 0 && !job.tuned_fraction) return fmt::format("{}: {}", what, job.stage);
  return fmt::format("{}: {} {:.0f} %", what, job.stage, 100 * job.fraction());
}

/// A load whose model answers already, a moment before the job itself ends.
bool has_done_its_work(const Job& job, const ModelManager& models) {
  const Model* model = job.kind == JobKind::kLoad && job.model ? models.find_model(*job.model) : nullptr;
  return model && model->state == ModelState::kLoaded;
}

std::string serving_line(const ServiceSnapshot& snapshot) {
  std::string line = fmt::format("serving {}", fmt::join(snapshot.loaded, ", "));
  if (snapshot.n_running == 0 && snapshot.n_waiting == 0) return line + ", idle";
  line += fmt::format(", {} running", snapshot.n_running);
  if (snapshot.n_waiting > 0) line += fmt::format(", {} waiting", snapshot.n_waiting);
  // None while prompts are computed: then it would only look broken.
  if (snapshot.tokens_per_second >= kLeastShown)
    line += fmt::format(", {:.1f} tok/s", snapshot.tokens_per_second);
  return line;
}

std::string main_part(const ServiceSnapshot& snapshot) {
  const Readiness& readiness = snapshot.readiness;
  switch (readiness.state) {
    case ServiceState::kLoading:
      if (snapshot.active_model.empty()) break;
      return fmt::format("loading {}: {} %", snapshot.active_model, readiness.percent);
    case ServiceState::kWarming:
      if (snapshot.active_model.empty()) break;
      // Tuning counts; a warm-up has nothing to count.
      if (readiness.percent < 100)
        return fmt::format("tuning {}: {} %", snapshot.active_model, readiness.percent);
      return fmt::format("warming up {}", snapshot.active_model);
    case ServiceState::kReady:
      if (snapshot.loaded.empty()) break;
      return serving_line(snapshot);
    default:
      break;
  }
  return readiness.reason;
}

}  // namespace

ServiceSnapshot take_snapshot(const ModelManager& models) {
  ServiceSnapshot snapshot{.readiness = models.readiness(), .tokens_per_second = models.tokens_per_second()};
  const Model* active = models.active_model();
  if (active) snapshot.active_model = active->spec.name;
  for (const auto& model : models.models()) {
    const uint64_t n_unfinished = models.n_unfinished(model->id);
    const bool is_loaded = model->state == ModelState::kLoaded;
    // Those that the engine queues are known from its last heartbeat only, a moment ago.
    const uint64_t n_queued = model->stats ? model->stats->n_waiting : 0;
    const uint64_t n_waiting = is_loaded ? std::min<uint64_t>(n_queued, n_unfinished) : n_unfinished;
    snapshot.n_waiting += n_waiting;
    snapshot.n_running += n_unfinished - n_waiting;
    if (!is_loaded) continue;
    const auto place = model.get() == active ? snapshot.loaded.begin() : snapshot.loaded.end();
    snapshot.loaded.insert(place, model->spec.name);
  }
  const auto job = std::ranges::find(models.jobs(), JobState::kRunning, &Job::state);
  if (job != models.jobs().end() && !has_done_its_work(*job, models)) snapshot.job = describe(*job);
  return snapshot;
}

std::string status_line(const ServiceSnapshot& snapshot) {
  std::string line = main_part(snapshot);
  // While the first model is loaded, its job says the same.
  if (!snapshot.job.empty() && snapshot.readiness.ready()) line += "; " + snapshot.job;
  if (!snapshot.note.empty()) line += "; " + snapshot.note;
  std::ranges::replace(line, '\n', ' ');
  return line;
}

bool engine_is_looked_after(bool engine_runs, std::chrono::steady_clock::duration silence,
                            std::chrono::milliseconds heartbeat_timeout) {
  return !engine_runs || silence < 2 * heartbeat_timeout;
}

}  // namespace halod
