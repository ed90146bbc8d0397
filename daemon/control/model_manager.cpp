#include "daemon/control/model_manager.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/this_coro.hpp>
#include <utility>

namespace halod {

namespace asio = boost::asio;
using std::chrono::steady_clock;

namespace {

/// More are a client that has lost its mind.
constexpr size_t kMaxWaitingJobs = 256;
constexpr size_t kEndedJobsKept = 64;
constexpr std::chrono::seconds kMaintenanceInterval{1};

bool concerns(const Job& job, const Model& model) { return !job.ended() && job.model == model.id; }

}  // namespace

ModelManager::ModelManager(Setup setup) : setup_(std::move(setup)), changed_(setup_.executor) {
  setup_.dispatcher.on_count_changed([this] { update_busy(); });
}

ModelManager::~ModelManager() { setup_.dispatcher.on_count_changed(nullptr); }

DrainPolicy ModelManager::default_policy() const {
  return drain_policy_from(setup_.config.models.swap_policy).value_or(DrainPolicy::kDrain);
}

// ------------------------------------------------------------------------------------------------ life

asio::awaitable<Result<>> ModelManager::run() {
  using namespace asio::experimental::awaitable_operators;
  const ModelsConfig config = setup_.config.models;
  const auto find = [&config] { return find_models(config); };
  auto found = co_await setup_.workers.run(find);
  if (!found) co_return found.error();
  if (found->empty()) {
    co_return Error{ErrorCode::kNotFound,
                    fmt::format("there is no model to serve: models.list is empty and {} holds neither a "
                                ".gguf file nor a model's folder",
                                config.directory.empty() ? "models.directory" : config.directory),
                    "models"};
  }
  if (config.list.empty() && found->front().path == config.bundled_model) {
    spdlog::info("neither models.list nor models.directory has a model: the bundled demo model is served");
  }
  adopt(std::move(*found));
  const Model* first =
      config.default_model.empty() ? models_.front().get() : find_model(config.default_model);
  if (!first) {
    co_return Error{
        ErrorCode::kNotFound,
        fmt::format("models.default is '{}', but there is no model of that name", config.default_model),
        "models.default"};
  }
  set_active(first->id);
  if (auto job = load(first->spec.name, {}); !job) co_return job.error();
  const auto ended = co_await (run_jobs() || maintain());
  co_return ended.index() == 0 ? std::get<0>(ended) : Result<>();
}

asio::awaitable<void> ModelManager::stop(std::chrono::milliseconds timeout) {
  set_readiness(ServiceState::kStopping, "halod is stopping");
  stopping_ = true;
  changed_.notify();
  co_await setup_.dispatcher.close(timeout, engine_up_);
  co_await engine_->stop();
}

asio::awaitable<void> ModelManager::maintain() {
  co_await read_file_infos();
  asio::steady_timer timer(setup_.executor);
  while (!stopping_) {
    timer.expires_after(kMaintenanceInterval);
    co_await timer.async_wait(asio::use_awaitable);
    unload_unused();
    retry_active();
  }
  // Only run_jobs() ends run().
  while (true) co_await changed_.wait();
}

void ModelManager::unload_unused() {
  for (const auto& model : models_) {
    const ModelEntryConfig& entry = model->spec.config;
    const auto lifetime =
        entry.time_to_live.count() > 0 ? entry.time_to_live : setup_.config.models.time_to_live;
    const bool unused = model->state == ModelState::kLoaded && lifetime.count() > 0 && !entry.pinned &&
                        n_unfinished(model->id) == 0 && steady_clock::now() - model->last_used > lifetime;
    if (!unused || std::ranges::any_of(jobs_, [&](const Job& job) { return concerns(job, *model); }))
      continue;
    spdlog::info("{} was not used for {} s", model->spec.name, lifetime.count() / 1000);
    (void)unload(model->spec.name, DrainPolicy::kDrain, {});  // when the queue is full, it is tried again
  }
}

/// A disk that comes back brings the active model back.
void ModelManager::retry_active() {
  const Model* model = active_model();
  if (!model || model->state != ModelState::kFailed || !engine_up_) return;
  if (steady_clock::now() - model->failed_at < setup_.config.engine.restart_delay_max) return;
  if (std::ranges::any_of(jobs_, [&](const Job& job) { return concerns(job, *model); })) return;
  (void)load(model->spec.name, {});
}

// ------------------------------------------------------------------------------------------------ models

const Model* ModelManager::find_model(std::string_view name) const {
  if (name.empty()) return active_model();
  for (const auto& model : models_) {
    if (model->answers_to(name)) return model.get();
  }
  return nullptr;
}

const Model* ModelManager::find_model(ModelId id) const {
  for (const auto& model : models_) {
    if (model->id == id) return model.get();
  }
  return nullptr;
}

Model* ModelManager::find_mutable(std::string_view name) { return const_cast<Model*>(find_model(name)); }
Model* ModelManager::find_mutable(ModelId id) { return const_cast<Model*>(find_model(id)); }

Model* ModelManager::find_by_engine_id(uint32_t engine_model_id) {
  for (const auto& model : models_) {
    if (engine_model_id != 0 && model->engine_model_id == engine_model_id) return model.get();
  }
  return nullptr;
}

/// New ones are added, known ones get their new settings, and those that are gone go unless they are in use.
void ModelManager::adopt(std::vector<ModelSpec> specs) {
  catalogued_ = true;
  std::vector<std::unique_ptr<Model>> old = std::exchange(models_, {});
  for (ModelSpec& spec : specs) {
    const auto known = std::ranges::find_if(
        old, [&spec](const auto& model) { return model && model->spec.path == spec.path; });
    if (known == old.end()) {
      auto model = std::make_unique<Model>();
      model->id = ModelId{next_model_id_++};
      model->spec = std::move(spec);
      models_.push_back(std::move(model));
      tell([this](ControlObserver& observer) { observer.on_model_added(*models_.back()); });
    } else {
      const bool differs = (*known)->spec != spec;
      (*known)->spec = std::move(spec);
      models_.push_back(std::move(*known));
      if (differs) tell([this](ControlObserver& observer) { observer.on_model_changed(*models_.back()); });
    }
  }
  for (auto& model : old) {
    if (!model) continue;
    const bool in_use = model->state != ModelState::kAvailable && model->state != ModelState::kFailed;
    if (in_use || std::ranges::any_of(jobs_, [&](const Job& job) { return concerns(job, *model); })) {
      models_.push_back(std::move(model));
    } else {
      tell([&model](ControlObserver& observer) { observer.on_model_removed(*model); });
    }
  }
}

void ModelManager::config_changed() {
  for (const auto& model : models_) {
    if (!model->served) continue;
    auto served = std::make_shared<ServedModel>(*model->served);
    served->defaults = defaults_for(setup_.config.defaults, served->text->sampling());
    model->served = std::move(served);
  }
  (void)rescan({});  // when the queue is full, the next rescan sees the same
}

void ModelManager::set_active(std::optional<ModelId> id) {
  if (active_ == id) return;
  active_ = id;
  tell([this](ControlObserver& observer) { observer.on_active_model(active_model()); });
  update_readiness();
}

void ModelManager::set_state(Model& model, ModelState state) {
  model.state = state;
  if (state == ModelState::kFailed) model.failed_at = steady_clock::now();
  tell([&model](ControlObserver& observer) { observer.on_model_changed(model); });
  update_readiness();
  changed_.notify();
}

void ModelManager::update_readiness() {
  if (!engine_up_) return;  // on_engine_ended() has said it better
  const Model* model = active_model();
  if (!model || model->state == ModelState::kAvailable || model->state == ModelState::kUnloading) {
    if (ever_ready_) set_readiness(ServiceState::kReady, "ready; no model is loaded", 0);
  } else if (model->state == ModelState::kLoaded) {
    set_readiness(ServiceState::kReady, "ready", 100);
  } else if (model->state == ModelState::kFailed && ever_ready_) {
    set_readiness(ServiceState::kDegraded, fmt::format("{} cannot be loaded: {}", model->spec.name,
                                                       model->error ? model->error->message : "it failed"));
  }
}

void ModelManager::set_readiness(ServiceState state, std::string reason, int percent) {
  Readiness next{state, std::move(reason), percent};
  if (readiness_.state == ServiceState::kStopping || next == readiness_) return;
  if (next.state != readiness_.state)
    spdlog::info("{} -> {}: {}", to_string(readiness_.state), to_string(next.state), next.reason);
  readiness_ = std::move(next);
  ever_ready_ = ever_ready_ || readiness_.ready();
  setup_.metrics.engine_ready.Set(readiness_.ready() ? 1 : 0);
  tell([this](ControlObserver& observer) { observer.on_readiness(readiness_); });
}

// -------------------------------------------------------------------------------------------------- jobs

const Job* ModelManager::find_job(JobId id) const {
  const auto found = std::ranges::find(jobs_, id, &Job::id);
  return found == jobs_.end() ? nullptr : &*found;
}

Result<JobId> ModelManager::load(std::string_view name, const Requester& requester) {
  const Model* model = find_model(name);
  if (!model) return Error{ErrorCode::kNotFound, fmt::format("there is no model '{}'", name), "model"};
  return add_job({.kind = JobKind::kLoad,
                  .model = model->id,
                  .model_name = model->spec.name,
                  .policy = default_policy(),
                  .requester = requester});
}

Result<JobId> ModelManager::unload(std::string_view name, DrainPolicy policy, const Requester& requester) {
  const Model* model = find_model(name);
  if (!model) return Error{ErrorCode::kNotFound, fmt::format("there is no model '{}'", name), "model"};
  return add_job({.kind = JobKind::kUnload,
                  .model = model->id,
                  .model_name = model->spec.name,
                  .policy = policy,
                  .requester = requester});
}

Result<JobId> ModelManager::swap(std::string_view name, DrainPolicy policy, const Requester& requester) {
  const Model* model = find_model(name);
  if (!model) return Error{ErrorCode::kNotFound, fmt::format("there is no model '{}'", name), "model"};
  return add_job({.kind = JobKind::kSwap,
                  .model = model->id,
                  .model_name = model->spec.name,
                  .policy = policy,
                  .requester = requester});
}

Result<JobId> ModelManager::rescan(const Requester& requester) {
  return add_job({.kind = JobKind::kRescan, .requester = requester});
}

Result<JobId> ModelManager::add_job(Job job) {
  if (stopping_) return Error{ErrorCode::kUnavailable, "halod is stopping"};
  const auto n_waiting = std::ranges::count(jobs_, JobState::kWaiting, &Job::state);
  if (static_cast<size_t>(n_waiting) >= kMaxWaitingJobs) {
    return Error{ErrorCode::kQueueFull,
                 fmt::format("{} jobs wait already; wait for some of them, or cancel them", n_waiting)};
  }
  // Only here, where nobody holds a job: the oldest ended ones are forgotten.
  while (jobs_.size() >= kEndedJobsKept && jobs_.front().ended()) jobs_.pop_front();
  job.id = JobId{next_job_id_++};
  job.created_at = std::chrono::system_clock::now();
  jobs_.push_back(std::move(job));
  tell([this](ControlObserver& observer) { observer.on_job_added(jobs_.back()); });
  update_busy();
  changed_.notify();
  return jobs_.back().id;
}

Result<> ModelManager::cancel(JobId id) {
  const auto found = std::ranges::find(jobs_, id, &Job::id);
  if (found == jobs_.end())
    return Error{ErrorCode::kNotFound, fmt::format("there is no job {}", to_int(id)), "job"};
  if (found->ended()) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("job {} has ended already: {}", to_int(id), to_string(found->state)), "job"};
  }
  found->cancel_requested = true;
  if (found->state == JobState::kWaiting)
    end_job(*found, Error{ErrorCode::kCancelled, "cancelled before it began"});
  setup_.dispatcher.wake();
  changed_.notify();
  return {};
}

asio::awaitable<Result<>> ModelManager::wait_for(JobId id) {
  while (true) {
    const Job* job = find_job(id);
    if (!job) co_return Error{ErrorCode::kNotFound, fmt::format("there is no job {}", to_int(id)), "job"};
    if (job->ended()) co_return job->error ? Result<>(*job->error) : Result<>();
    if (stopping_) co_return Error{ErrorCode::kUnavailable, "halod is stopping"};
    co_await changed_.wait();
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none)
      throw boost::system::system_error(asio::error::operation_aborted);
  }
}

void ModelManager::update_busy() {
  const bool has_job = std::ranges::any_of(jobs_, [](const Job& job) { return !job.ended(); });
  const bool busy = has_job || n_unfinished() > 0;
  if (std::exchange(busy_, busy) == busy) return;
  tell([this](ControlObserver& observer) { observer.on_busy(busy_); });
}

void ModelManager::changed(const Job& job) {
  tell([&job](ControlObserver& observer) { observer.on_job_changed(job); });
}

}  // namespace halod
