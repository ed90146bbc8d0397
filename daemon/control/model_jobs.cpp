// What the jobs of the ModelManager do, step by step.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "daemon/control/log_events.h"
#include "daemon/control/model_manager.h"

namespace halod {

namespace asio = boost::asio;
using std::chrono::steady_clock;

namespace {

/// An engine that dies so often over one model is not asked to load it once more.
constexpr int kMaxDeathsPerLoad = 3;

Error cancelled() { return {ErrorCode::kCancelled, "cancelled"}; }

void log_unloading(const Job& job, const Model& victim, const Model& newcomer) {
  const LogFields fields{{log_events::kJob, std::to_string(to_int(job.id))},
                         {log_events::kModel, victim.spec.name}};
  spdlog::info("{} makes room for {}", victim.spec.name, newcomer.spec.name);
}

void log_end(const Job& job) {
  const LogFields fields{{log_events::kMessageId, log_events::kJobEnded},
                         {log_events::kJob, std::to_string(to_int(job.id))},
                         {log_events::kJobState, std::string(to_string(job.state))},
                         {log_events::kModel, job.model_name}};
  const std::string what = job.model_name.empty() ? std::string(to_string(job.kind))
                                                  : fmt::format("{} {}", to_string(job.kind), job.model_name);
  if (job.state == JobState::kDone) {
    spdlog::info("job {} ({}): done in {:.3f} s", to_int(job.id), what, job.seconds);
  } else {
    spdlog::log(job.state == JobState::kFailed ? spdlog::level::err : spdlog::level::info,
                "job {} ({}): {}: {}", to_int(job.id), what, to_string(job.state), job.error->message);
  }
}

}  // namespace

asio::awaitable<Result<>> ModelManager::run_jobs() {
  while (!stopping_) {
    const auto next = std::ranges::find(jobs_, JobState::kWaiting, &Job::state);
    if (next == jobs_.end()) {
      co_await changed_.wait();
      continue;
    }
    Job& job = *next;
    job.state = JobState::kRunning;
    job.started_at = steady_clock::now();
    changed(job);
    const Result<> result = co_await run_job(job);
    end_job(job, result);
    // Nobody is served yet and the first model does not load: the configuration is wrong.
    if (!result && !ever_ready_ && !stopping_) co_return result;
  }
  for (Job& job : jobs_) {
    if (!job.ended()) end_job(job, Error{ErrorCode::kCancelled, "halod is stopping"});
  }
  co_return Result<>();
}

asio::awaitable<Result<>> ModelManager::run_job(Job& job) {
  if (job.kind == JobKind::kRescan) co_return co_await do_rescan();
  Model* model = find_mutable(job.model.value());
  HALOD_ASSERT(model);  // adopt() keeps what a job is about
  switch (job.kind) {
    case JobKind::kLoad:
      co_return co_await do_load(job, *model);
    case JobKind::kUnload:
      co_return co_await do_unload(job, *model);
    default:
      co_return co_await do_swap(job, *model);
  }
}

void ModelManager::end_job(Job& job, const Result<>& result) {
  const bool was_running = job.state == JobState::kRunning;
  if (was_running) job.seconds = std::chrono::duration<double>(steady_clock::now() - job.started_at).count();
  job.state = result                                         ? JobState::kDone
              : result.error().code == ErrorCode::kCancelled ? JobState::kCancelled
                                                             : JobState::kFailed;
  if (!result) job.error = result.error();
  if (result) job.stage = "ready";
  log_end(job);
  tell([&job](ControlObserver& observer) { observer.on_job_ended(job); });
  update_busy();
  changed_.notify();
}

void ModelManager::set_stage(Job& job, std::string_view stage) {
  if (job.stage == stage) return;
  job.stage = stage;
  changed(job);
}

asio::awaitable<Result<>> ModelManager::do_load(Job& job, Model& model) {
  co_await wait_for_restart(job, model);
  if (model.state == ModelState::kLoaded) co_return Result<>();
  set_stage(job, "tokenizer");
  Result<> result = co_await prepare_text(model);
  if (result) result = co_await load_into_engine(job, model);
  if (!result && result.error().code != ErrorCode::kCancelled && setup_.dispatcher.n_unfinished(model.id) > 0)
    setup_.dispatcher.fail_all(model.id, result.error().code, result.error().message);
  co_return result;
}

/// A resident model that is being loaded again after an engine's death is not loaded twice.
asio::awaitable<void> ModelManager::wait_for_restart(const Job& job, const Model& model) {
  while (model.resident && model.state == ModelState::kLoading && !stopping_ && !job.cancel_requested)
    co_await changed_.wait();
}

/// The half of a model that halod itself needs.
asio::awaitable<Result<>> ModelManager::prepare_text(Model& model) {
  if (model.served) co_return Result<>();
  const auto load = [load_text = setup_.load_text, spec = model.spec] { return load_text(spec); };
  Result<TextModel> text = co_await setup_.workers.run(load);
  if (!text) {
    model.error = text.error();
    set_state(model, ModelState::kFailed);
    co_return text.error();
  }
  auto served = std::make_shared<ServedModel>();
  served->id = model.id;
  served->name = model.spec.name;
  served->text = std::make_shared<const TextModel>(std::move(*text));
  served->defaults = defaults_for(setup_.config.defaults, served->text->sampling());
  served->created = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  model.served = std::move(served);
  co_return Result<>();
}

asio::awaitable<Result<>> ModelManager::load_into_engine(Job& job, Model& model) {
  const auto given_up = [&] { return stopping_ || job.cancel_requested; };
  for (int n_deaths = 0; n_deaths < kMaxDeathsPerLoad;) {
    while (!engine_up_ && !given_up()) co_await changed_.wait();
    if (given_up()) co_return cancelled();
    const auto n_resident = std::ranges::count(models_, true, &Model::resident);
    const uint32_t max_resident = setup_.config.models.max_resident;
    if (max_resident > 0 && n_resident >= max_resident) {
      const Error too_many{ErrorCode::kOutOfMemory,
                           fmt::format("{} models are in memory, as many as models.max_resident allows, and "
                                       "none of them may be unloaded",
                                       n_resident)};
      if (auto room = co_await make_room(job, model, too_many); !room) co_return room;
      continue;
    }
    set_stage(job, "weights");
    send_load(model);
    const uint32_t attempt = model.engine_model_id;
    for (bool told = false; model.engine_model_id == attempt && model.state == ModelState::kLoading;) {
      if (given_up() && !std::exchange(told, true))
        engine_->send(wire::encode(wire::FrameType::kUnload, wire::Unload{attempt}));
      if (stopping_) co_return cancelled();
      co_await changed_.wait();
    }
    if (model.state == ModelState::kLoaded) co_return Result<>();
    if (model.state == ModelState::kAvailable) co_return cancelled();
    if (model.state == ModelState::kLoading) {  // the engine died
      ++n_deaths;
      continue;
    }
    const Error failure = *model.error;
    if (failure.code != ErrorCode::kOutOfMemory) co_return failure;
    if (auto room = co_await make_room(job, model, failure); !room) co_return room;
  }
  model.error = Error{ErrorCode::kInternal, fmt::format("the engine died {} times while it loaded {}",
                                                        kMaxDeathsPerLoad, model.spec.name)};
  set_state(model, ModelState::kFailed);
  co_return *model.error;
}

/// Unloads the model that was not used for longest. Errors: `shortage`, when unloading all would not do, and
/// when there is none to unload.
asio::awaitable<Result<>> ModelManager::make_room(Job& job, const Model& newcomer, const Error& shortage) {
  uint64_t could_be_freed = 0;
  Model* victim = nullptr;
  const auto comes_before = [&](const Model& a, const Model& b) {
    const bool a_is_swapped = job.kind == JobKind::kSwap && active_ == a.id;
    const bool b_is_swapped = job.kind == JobKind::kSwap && active_ == b.id;
    if (a_is_swapped != b_is_swapped) return a_is_swapped;
    const bool a_is_idle = n_unfinished(a.id) == 0, b_is_idle = n_unfinished(b.id) == 0;
    if (a_is_idle != b_is_idle) return a_is_idle;
    return a.last_used < b.last_used;
  };
  for (const auto& model : models_) {
    if (model->state != ModelState::kLoaded || model->spec.config.pinned || model->id == newcomer.id)
      continue;
    could_be_freed += model->resident_bytes();
    if (!victim || comes_before(*model, *victim)) victim = model.get();
  }
  if (!victim || shortage.needed_bytes > shortage.available_bytes + could_be_freed) co_return shortage;
  log_unloading(job, *victim, newcomer);
  auto unloaded = co_await do_unload(job, *victim);
  if (unloaded) put_aside(*victim, true);
  co_return unloaded;
}

asio::awaitable<Result<>> ModelManager::do_unload(Job& job, Model& model) {
  co_await wait_for_restart(job, model);
  if (model.state != ModelState::kLoaded) {
    model.resident = false;
    if (job.kind == JobKind::kUnload) put_aside(model, false);
    co_return Result<>();
  }
  const auto given_up = [&] { return stopping_ || job.cancel_requested; };
  set_stage(job, "drain");
  set_state(model, ModelState::kUnloading);
  setup_.dispatcher.hold(model.id);
  if (job.policy == DrainPolicy::kDrain) {
    const auto deadline = steady_clock::now() + setup_.config.models.drain_timeout;
    co_await setup_.dispatcher.wait_until_drained(model.id, deadline, given_up);
  }
  if (given_up() && model.state == ModelState::kUnloading) {
    setup_.dispatcher.release(model.id);
    set_state(model, ModelState::kLoaded);
    co_return cancelled();
  }
  set_stage(job, "unload");
  model.resident = false;
  if (model.state == ModelState::kUnloading)
    engine_->send(wire::encode(wire::FrameType::kUnload, wire::Unload{model.engine_model_id}));
  while (model.state == ModelState::kUnloading && !stopping_) co_await changed_.wait();
  if (job.kind == JobKind::kUnload) put_aside(model, false);
  co_return Result<>();
}

/// What becomes of requests whose model went before they were finished.
void ModelManager::put_aside(Model& model, bool comes_back) {
  if (setup_.dispatcher.n_unfinished(model.id) == 0) return;
  if (comes_back && setup_.config.models.load_on_request && load(model.spec.name, {})) return;
  setup_.dispatcher.fail_all(
      model.id, ErrorCode::kUnavailable,
      fmt::format("model '{}' was unloaded before this request was finished", model.spec.name));
}

asio::awaitable<Result<>> ModelManager::do_swap(Job& job, Model& next) {
  Model* previous = active_ && *active_ != next.id ? find_mutable(*active_) : nullptr;
  const bool was_loaded = previous && previous->state == ModelState::kLoaded;
  Result<> result = co_await do_load(job, next);
  if (!result) {
    if (was_loaded && previous->state == ModelState::kAvailable && !stopping_) {
      spdlog::info("{} comes back, because {} cannot take its place", previous->spec.name, next.spec.name);
      if (auto back = load(previous->spec.name, {}); !back) co_return back.error();
    }
    co_return result;
  }
  set_active(next.id);
  if (previous && previous->state == ModelState::kLoaded && !previous->spec.config.pinned) {
    result = co_await do_unload(job, *previous);
    if (result) put_aside(*previous, true);
  }
  co_return result;
}

asio::awaitable<Result<>> ModelManager::do_rescan() {
  const auto find = [config = setup_.config.models] { return find_models(config); };
  auto found = co_await setup_.workers.run(find);
  if (!found) co_return found.error();
  adopt(std::move(*found));
  co_await read_file_infos();
  co_return Result<>();
}

/// By index and id, because a rescan may change the list while the disk is read.
asio::awaitable<void> ModelManager::read_file_infos() {
  for (size_t i = 0; i < models_.size() && !stopping_; ++i) {
    if (models_[i]->info) continue;
    const ModelId id = models_[i]->id;
    const auto read = [path = models_[i]->spec.path] { return read_model_file_info(path); };
    const auto info = co_await setup_.workers.run(read);
    Model* model = find_mutable(id);
    if (!model) continue;
    if (info) model->info = *info;
    if (!info && model->state == ModelState::kAvailable) model->error = info.error();
    tell([model](ControlObserver& observer) { observer.on_model_changed(*model); });
  }
}

}  // namespace halod
