// What the engine tells the ModelManager.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "daemon/control/log_events.h"
#include "daemon/control/model_manager.h"

namespace halod {

using std::chrono::steady_clock;

namespace {

template <class Message, class Use>
Result<> with(const wire::Frame& frame, Use use) {
  Result<Message> message = wire::decode<Message>(frame);
  if (!message) return message.error();
  return use(std::move(*message));
}

void log_unloaded(const std::string& name) {
  const LogFields fields{{log_events::kModel, name}};
  spdlog::info("{} unloaded", name);
}

void log_loaded(const std::string& name, const wire::ModelLoaded& loaded) {
  const LogFields fields{{log_events::kMessageId, log_events::kModelLoaded}, {log_events::kModel, name}};
  spdlog::info(
      "{} loaded in {:.2f} s: {} on {} ({}), context {} tokens, {} sequences, {:.1f} MB of weights, "
      "{:.1f} MB of KV cache",
      name, loaded.load_seconds, loaded.architecture, loaded.backend, loaded.device, loaded.context_length,
      loaded.max_sequences, static_cast<double>(loaded.weight_bytes) / 1e6,
      static_cast<double>(loaded.kv_cache_bytes) / 1e6);
}

}  // namespace

void ModelManager::on_engine_started() {
  engine_up_ = true;
  setup_.dispatcher.engine_started([this](std::string frame) { engine_->send(std::move(frame)); });
  // The active one first: most requests wait for it.
  const auto load_again = [this](bool active) {
    for (const auto& model : models_) {
      if (model->resident && (active_ == model->id) == active) send_load(*model);
    }
  };
  load_again(true);
  load_again(false);
  update_readiness();
  changed_.notify();
}

void ModelManager::on_engine_ended(const std::string& how, bool innocent) {
  engine_up_ = false;
  setup_.dispatcher.engine_ended(innocent);
  for (const auto& model : models_) {
    model->engine_model_id = 0;
    model->loaded.reset();
    model->stats.reset();
    if (model->state == ModelState::kUnloading) model->resident = false;
    if (model->state == ModelState::kUnloading) set_state(*model, ModelState::kAvailable);
    if (model->state == ModelState::kLoaded) set_state(*model, ModelState::kLoading);
  }
  set_readiness(ever_ready_ ? ServiceState::kRestarting : ServiceState::kStarting,
                fmt::format("the engine {} and is being restarted", how));
  changed_.notify();
}

Result<> ModelManager::on_engine_frame(const wire::Frame& frame) {
  using wire::FrameType;
  switch (frame.type) {
    case FrameType::kTokens:
      return with<wire::Tokens>(
          frame, [this](wire::Tokens tokens) { return setup_.dispatcher.handle(std::move(tokens)); });
    case FrameType::kFinished:
      return with<RequestFinished>(frame, [this](RequestFinished finished) {
        setup_.dispatcher.handle(std::move(finished));
        return Result<>();
      });
    case FrameType::kPong:
      return with<wire::Pong>(frame, [this](wire::Pong pong) { return handle(std::move(pong)); });
    case FrameType::kLoadProgress:
      return with<wire::LoadProgress>(
          frame, [this](wire::LoadProgress message) { return handle(std::move(message)); });
    case FrameType::kLoaded:
      return with<wire::ModelLoaded>(
          frame, [this](wire::ModelLoaded message) { return handle(std::move(message)); });
    case FrameType::kLoadFailed:
      return with<wire::LoadFailure>(
          frame, [this](wire::LoadFailure message) { return handle(std::move(message)); });
    case FrameType::kSelections:
      return with<wire::Selections>(frame,
                                    [this](wire::Selections message) { return handle(std::move(message)); });
    case FrameType::kUnloaded:
      return with<wire::Unloaded>(frame, [this](wire::Unloaded message) { return handle(message); });
    default:
      return Error{ErrorCode::kInternal, fmt::format("engine protocol: frame type {} is none of the engine's",
                                                     static_cast<int>(frame.type))};
  }
}

void ModelManager::send_load(Model& model) {
  const EngineConfig& engine = setup_.config.engine;
  const ModelEntryConfig& entry = model.spec.config;
  model.engine_model_id = next_engine_model_id_++;
  model.error.reset();
  set_state(model, ModelState::kLoading);
  const wire::LoadModel message{
      .model_id = model.engine_model_id,
      .path = model.spec.path.string(),
      .backend = engine.backend,
      .n_threads = engine.n_threads,
      .gpu_graphs = engine.gpu_graphs,
      .context_length = entry.context_length > 0 ? entry.context_length : engine.context_length,
      .max_sequences = entry.max_sequences > 0 ? entry.max_sequences : engine.max_sequences,
      .kv_cache_tokens = entry.kv_cache_tokens > 0 ? entry.kv_cache_tokens : engine.kv_cache_tokens,
      .prefill_chunk = engine.prefill_chunk,
      .tuning_mode = engine.tuning_mode,
      .tuning_budget_ms = static_cast<uint64_t>(engine.tuning_budget.count())};
  engine_->send(wire::encode(wire::FrameType::kLoad, message));
  if (active_ == model.id) set_readiness(ServiceState::kLoading, "the model is being loaded");
}

Result<> ModelManager::handle(wire::LoadProgress progress) {
  const Model* model = find_by_engine_id(progress.model_id);
  if (!model) return {};
  const double fraction = progress.bytes_total == 0 ? 0
                                                    : static_cast<double>(progress.bytes_done) /
                                                          static_cast<double>(progress.bytes_total);
  const int percent = static_cast<int>(100 * std::clamp(fraction, 0.0, 1.0));
  const bool warming = progress.stage == "warm-up", tuning = progress.stage == "tuning";
  if (active_ == model->id && tuning) {
    set_readiness(ServiceState::kWarming, fmt::format("kernels are being tuned: {} %", percent), percent);
  } else if (active_ == model->id && warming) {
    set_readiness(ServiceState::kWarming, "the model is warming up", 100);
  } else if (active_ == model->id) {
    set_readiness(ServiceState::kLoading, fmt::format("the model is being loaded: {} %", percent), percent);
  }
  const auto job = std::ranges::find(jobs_, JobState::kRunning, &Job::state);
  if (job == jobs_.end() || job->model != model->id) return {};
  job->stage = progress.stage;
  job->tuned_fraction.reset();
  if (tuning) {
    job->tuned_fraction = std::clamp(fraction, 0.0, 1.0);
  } else if (!warming) {
    job->bytes_done = progress.bytes_done;
    job->bytes_total = progress.bytes_total;
  }
  changed(*job);
  return {};
}

Result<> ModelManager::handle(wire::ModelLoaded loaded) {
  if (loaded.context_length == 0 || loaded.vocab_size == 0 || loaded.max_sequences == 0) {
    return Error{ErrorCode::kInternal,
                 "engine protocol: a loaded model without context, vocabulary or sequences"};
  }
  Model* model = find_by_engine_id(loaded.model_id);
  if (!model || !model->served) return {};
  log_loaded(model->spec.name, loaded);
  auto served = std::make_shared<ServedModel>(*model->served);
  served->limits = {.context_length = loaded.context_length, .vocab_size = loaded.vocab_size};
  model->served = std::move(served);
  model->resident = true;
  model->last_used = steady_clock::now();
  const uint32_t max_sequences = loaded.max_sequences;
  model->loaded = std::move(loaded);
  engine_->worked();
  set_state(*model, ModelState::kLoaded);
  setup_.dispatcher.model_loaded(model->id, model->engine_model_id, max_sequences);
  return {};
}

Result<> ModelManager::handle(wire::LoadFailure failure) {
  Model* model = find_by_engine_id(failure.model_id);
  if (!model) return {};
  const bool was_resident = std::exchange(model->resident, false);
  model->engine_model_id = 0;
  Error error{error_code_from(failure.error_code), std::move(failure.message), "model"};
  error.needed_bytes = failure.needed_bytes;
  error.available_bytes = failure.available_bytes;
  const bool cancelled = error.code == ErrorCode::kCancelled;
  if (!cancelled) model->error = error;
  set_state(*model, cancelled ? ModelState::kAvailable : ModelState::kFailed);
  if (was_resident) {
    // It was there before the engine died. A job's own failure is the job's to handle.
    spdlog::error("{} cannot be loaded again: {}", model->spec.name, error.message);
    setup_.dispatcher.fail_all(model->id, error.code, error.message);
  }
  return {};
}

Result<> ModelManager::handle(wire::Selections changed) {
  Model* model = find_by_engine_id(changed.model_id);
  if (!model || !model->loaded) return {};
  model->loaded->selections = std::move(changed.selections);
  tell([model](ControlObserver& observer) { observer.on_model_changed(*model); });
  return {};
}

Result<> ModelManager::handle(wire::Unloaded unloaded) {
  Model* model = find_by_engine_id(unloaded.model_id);
  if (!model) return {};
  log_unloaded(model->spec.name);
  model->engine_model_id = 0;
  model->loaded.reset();
  model->stats.reset();
  model->served.reset();
  setup_.dispatcher.model_unloaded(model->id);
  set_state(*model, ModelState::kAvailable);
  return {};
}

Result<> ModelManager::handle(wire::Pong pong) {
  setup_.metrics.record_heartbeat(pong);
  uint64_t n_tokens = 0;
  for (const wire::ModelStats& stats : pong.models) {
    n_tokens += stats.n_generated_tokens;
    if (Model* model = find_by_engine_id(stats.model_id)) model->stats = stats;
  }
  const auto now = steady_clock::now();
  const double seconds = std::chrono::duration<double>(now - pong_before_).count();
  // Fewer than before: a model went, and its count with it.
  tokens_per_second_ =
      n_tokens >= n_tokens_before_ && seconds > 0 && pong_before_ != steady_clock::time_point{}
          ? static_cast<double>(n_tokens - n_tokens_before_) / seconds
          : 0;
  n_tokens_before_ = n_tokens;
  pong_before_ = now;
  tell([this](ControlObserver& observer) { observer.on_heartbeat(); });
  return {};
}

}  // namespace halod
