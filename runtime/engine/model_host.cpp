#include "runtime/engine/model_host.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace halod {

namespace {

std::vector<wire::KernelSelection> selections_of(const Backend* backend) {
  std::vector<wire::KernelSelection> all;
  if (!backend) return all;  // a test's model
  for (SelectedKernel& kernel : backend->selections()) {
    all.push_back({std::move(kernel.operation), std::move(kernel.format), std::move(kernel.variant),
                   std::move(kernel.tuning)});
  }
  return all;
}

TuningOptions tuning_options(const wire::LoadModel& request) {
  return {.mode = tuning_mode_from(request.tuning_mode),
          .budget = std::chrono::milliseconds(request.tuning_budget_ms)};
}

}  // namespace

Result<wire::ModelLoaded> ModelHost::load(const wire::LoadModel& request, const Progress& progress,
                                          const Meanwhile& meanwhile) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  if (contains(request.model_id)) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("model id {} is taken by a resident model", request.model_id), "model_id"};
  }
  const LoadCallbacks callbacks{
      .on_bytes = [&](uint64_t n_done, uint64_t n_total) { progress("weights", n_done, n_total); },
      .between_tensors = meanwhile};
  auto loaded = factory_(request, {.promised_bytes = promised_bytes()}, callbacks);
  if (!loaded) return loaded.error();
  auto resident = std::make_unique<Resident>();
  resident->model_id = request.model_id;
  resident->loaded = std::move(*loaded);
  Model& model = *resident->loaded.model;
  const EngineOptions& options = resident->loaded.engine_options;
  resident->engine = std::make_unique<Engine>(model, options, sink_);
  Backend* const backend = resident->loaded.backend.get();
  resident->tuning =
      std::make_unique<TuningSession>(backend ? backend->tuner() : nullptr, tuning_options(request));
  progress("warm-up", 0, 1);
  resident->engine->warm_up();
  progress("warm-up", 1, 1);
  const Result<> tuned = resident->tuning->fill_gaps(
      [&](uint64_t n_done, uint64_t n_total) { progress("tuning", n_done, n_total); }, meanwhile);
  if (!tuned) return tuned.error();
  wire::ModelLoaded message{
      .model_id = request.model_id,
      .architecture = model.config().architecture,
      .backend = resident->loaded.backend_name,
      .device = resident->loaded.device_name,
      .vocab_size = static_cast<uint32_t>(model.config().vocab_size),
      .context_length = static_cast<uint32_t>(resident->engine->context_length()),
      .max_sequences = static_cast<uint32_t>(options.max_sequences),
      .kv_cache_tokens = static_cast<uint64_t>(model.n_kv_pages() * kKvPageTokens),
      .weight_bytes = model.weight_bytes(),
      .kv_cache_bytes = static_cast<uint64_t>(model.n_kv_pages()) * model.kv_page_bytes(),
      .scratch_bytes = model.scratch_bytes(),
      .load_seconds = std::chrono::duration<double>(Clock::now() - start).count(),
      .selections = selections_of(backend)};
  // What the machine counts already must not be counted again.
  if (backend == nullptr || !backend->takes_memory_at_once())
    resident->promised_bytes = message.weight_bytes + message.kv_cache_bytes + message.scratch_bytes;
  residents_.push_back(std::move(resident));
  spdlog::info("{} is ready on {} after {:.1f} s", request.path, message.device, message.load_seconds);
  return message;
}

bool ModelHost::unload(uint32_t model_id) {
  return std::erase_if(residents_,
                       [model_id](const auto& resident) { return resident->model_id == model_id; }) > 0;
}

void ModelHost::submit(wire::Submit submission) {
  GenerationRequest& request = submission.request;
  const RequestId id{request.request_id};
  if (std::ranges::any_of(residents_,
                          [id](const auto& resident) { return resident->engine->contains(id); })) {
    // The first one goes on; an answer to the second would be taken for the first one's end.
    spdlog::error("request {} was submitted twice; the second one is ignored", request.request_id);
    return;
  }
  if (Resident* resident = find(submission.model_id)) return resident->engine->submit(std::move(request));
  sink_.on_finished(
      {.request_id = request.request_id,
       .reason = FinishReason::error,
       .error_code = std::string(to_string(ErrorCode::kUnavailable)),
       .error_message = fmt::format("model {} is not loaded; retry when it is", submission.model_id),
       .n_prompt_tokens = static_cast<uint32_t>(request.prompt.size()),
       .n_generated_tokens = static_cast<uint32_t>(request.generated.size())});
}

void ModelHost::cancel(RequestId id) {
  for (const auto& resident : residents_) resident->engine->cancel(id);
}

bool ModelHost::step() {
  bool stepped = false;
  for (const auto& resident : residents_) stepped |= resident->engine->step();
  return stepped;
}

bool ModelHost::has_work() const {
  return std::ranges::any_of(residents_, [](const auto& resident) { return resident->engine->has_work(); });
}

bool ModelHost::wants_idle_work() const {
  return std::ranges::any_of(residents_,
                             [](const auto& resident) { return resident->tuning->wants_idle_work(); });
}

std::optional<wire::Selections> ModelHost::idle_step() {
  for (const auto& resident : residents_) {
    if (!resident->tuning->wants_idle_work()) continue;
    if (!resident->tuning->idle_step()) return std::nullopt;
    return wire::Selections{resident->model_id, selections_of(resident->loaded.backend.get())};
  }
  return std::nullopt;
}

std::vector<wire::Selections> ModelHost::look_after_tuning() {
  std::vector<wire::Selections> changed;
  for (const auto& resident : residents_) {
    resident->tuning->flush();
    if (resident->tuning->refresh())
      changed.push_back({resident->model_id, selections_of(resident->loaded.backend.get())});
  }
  return changed;
}

std::vector<wire::ModelStats> ModelHost::stats() const {
  std::vector<wire::ModelStats> all;
  for (const auto& resident : residents_) {
    const EngineStats stats = resident->engine->stats();
    all.push_back({.model_id = resident->model_id,
                   .n_running = static_cast<uint32_t>(stats.n_running),
                   .n_waiting = static_cast<uint32_t>(stats.n_waiting),
                   .kv_pages_used = static_cast<uint64_t>(stats.n_pages_used),
                   .kv_pages_total = static_cast<uint64_t>(stats.n_pages),
                   .n_prompt_tokens = stats.n_prompt_tokens,
                   .n_generated_tokens = stats.n_generated_tokens,
                   .n_steps = stats.n_steps,
                   .busy_seconds = stats.busy_seconds});
  }
  return all;
}

ModelHost::Resident* ModelHost::find(uint32_t model_id) const {
  const auto found =
      std::ranges::find(residents_, model_id, [](const auto& resident) { return resident->model_id; });
  return found == residents_.end() ? nullptr : found->get();
}

uint64_t ModelHost::promised_bytes() const {
  uint64_t total = 0;
  for (const auto& resident : residents_) total += resident->promised_bytes;
  return total;
}

}  // namespace halod
