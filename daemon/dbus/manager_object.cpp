#include "daemon/dbus/manager_object.h"

#include <fmt/format.h>

#include <utility>

#include "daemon/dbus/bus_error.h"
#include "daemon/dbus/bus_values.h"
#include "daemon/dbus/call_options.h"
#include "daemon/dbus/model_details.h"

namespace halod {
namespace {

constexpr std::array kChangingManagerProperties{"State", "StateReason", "ActiveModel", "ActiveModelPath",
                                                "LogLevel"};

constexpr std::array kPowerProperties{"PowerProfileHeld", "PowerProfile", "PowerProfileProblem"};
constexpr std::array kTuningProperties{"Backend", "Device", "Selections", "TuningState", "SelectionStates"};

uint64_t count_of(const prometheus::Counter& counter) { return static_cast<uint64_t>(counter.Value()); }

}  // namespace

ManagerObject::ManagerObject(sdbus::IConnection& connection, const BusContext& context)
    : AdaptorInterfaces(connection, sdbus::ObjectPath(kBusRoot)),
      context_(context),
      published_(kChangingManagerProperties, values()),
      published_power_(kPowerProperties, power_values()),
      published_tuning_(kTuningProperties, tuning_values()) {
  registerAdaptor();
}

ManagerObject::Values ManagerObject::values() {
  return {State(), StateReason(), ActiveModel(), ActiveModelPath(), LogLevel()};
}

ManagerObject::PowerValues ManagerObject::power_values() {
  return {PowerProfileHeld(), PowerProfile(), PowerProfileProblem()};
}

ManagerObject::TuningValues ManagerObject::tuning_values() {
  return {Backend(), Device(), Selections(), TuningState(), SelectionStates()};
}

void ManagerObject::publish_power() {
  const std::vector<std::string> changed = published_power_.update(power_values());
  if (!changed.empty()) sdbus_compat::emit_changed(getObject(), Power_adaptor::INTERFACE_NAME, changed);
}

void ManagerObject::publish_tuning() {
  const std::vector<std::string> changed = published_tuning_.update(tuning_values());
  if (!changed.empty()) sdbus_compat::emit_changed(getObject(), Tuning_adaptor::INTERFACE_NAME, changed);
}

bool ManagerObject::publish() {
  Values next = values();
  if (next == published_.known()) return true;
  const auto now = Clock::now();
  Values same_but_reason = next;
  std::get<1>(same_but_reason) = std::get<1>(published_.known());
  if (same_but_reason == published_.known() && now < next_reason_) return false;
  const std::vector<std::string> changed = published_.update(std::move(next));
  if (changed.empty()) return true;
  next_reason_ = now + kProgressInterval;
  sdbus_compat::emit_changed(getObject(), Manager_adaptor::INTERFACE_NAME, changed);
  return true;
}

void ManagerObject::tell_new(const Job& job) {
  emitJobNew(to_int(job.id), sdbus::ObjectPath(job_path(job.id)), std::string(to_string(job.kind)),
             job.model_name);
}

void ManagerObject::tell_ended(const Job& job) {
  emitJobRemoved(to_int(job.id), sdbus::ObjectPath(job_path(job.id)), job.model_name,
                 std::string(to_string(job.state)));
}

// ---------------------------------------------------------------------------------------------- Manager

std::vector<sdbus::Struct<sdbus::ObjectPath, std::string, std::string, uint64_t, ManagerObject::Options>>
ManagerObject::ListModels() {
  std::vector<sdbus::Struct<sdbus::ObjectPath, std::string, std::string, uint64_t, Options>> rows;
  for (const auto& model : context_.models.models()) {
    Options details = model_details(*model, model.get() == context_.models.active_model(),
                                    context_.models.n_unfinished(model->id));
    rows.emplace_back(sdbus::ObjectPath(context_.paths.of(model->id)), model->spec.name,
                      std::string(to_string(model->state)), model->info ? model->info->size_bytes : 0,
                      std::move(details));
  }
  return rows;
}

sdbus::ObjectPath ManagerObject::GetModel(const std::string& name) {
  const Model* model = context_.models.find_model(name);
  if (!model) throw bus_error({ErrorCode::kNotFound, fmt::format("there is no model '{}'", name)});
  return sdbus::ObjectPath(context_.paths.of(model->id));
}

void ManagerObject::Load(JobReply&& result, std::string name, Options options) {
  const auto start = [&models = context_.models, name = std::move(name),
                      options = std::move(options)](const Requester& requester) -> Result<JobId> {
    if (auto none = refuse_options(options); !none) return none.error();
    return models.load(name, requester);
  };
  answer_with_job(context_, getObject(), "io.halod.load", std::move(result), start);
}

void ManagerObject::Unload(JobReply&& result, std::string name, Options options) {
  const auto start = [&models = context_.models, name = std::move(name),
                      options = std::move(options)](const Requester& requester) -> Result<JobId> {
    const auto policy = read_policy(options, models.default_policy());
    if (!policy) return policy.error();
    return models.unload(name, *policy, requester);
  };
  answer_with_job(context_, getObject(), "io.halod.unload", std::move(result), start);
}

void ManagerObject::Swap(JobReply&& result, std::string name, Options options) {
  const auto start = [&models = context_.models, name = std::move(name),
                      options = std::move(options)](const Requester& requester) -> Result<JobId> {
    const auto policy = read_policy(options, models.default_policy());
    if (!policy) return policy.error();
    return models.swap(name, *policy, requester);
  };
  answer_with_job(context_, getObject(), "io.halod.swap", std::move(result), start);
}

std::vector<sdbus::Struct<uint32_t, sdbus::ObjectPath, std::string, std::string, double>>
ManagerObject::ListJobs() {
  std::vector<sdbus::Struct<uint32_t, sdbus::ObjectPath, std::string, std::string, double>> rows;
  for (const Job& job : context_.models.jobs()) {
    rows.emplace_back(to_int(job.id), sdbus::ObjectPath(job_path(job.id)), std::string(to_string(job.kind)),
                      std::string(to_string(job.state)), job.fraction());
  }
  return rows;
}

void ManagerObject::Rescan(JobReply&& result) {
  answer_with_job(
      context_, getObject(), "io.halod.rescan", std::move(result),
      [&models = context_.models](const Requester& requester) { return models.rescan(requester); });
}

void ManagerObject::Reload(sdbus::Result<>&& result) {
  answer_when_done(context_, getObject(), "io.halod.reload", std::move(result),
                   [&service = context_.service] { return service.reload(); });
}

void ManagerObject::SetLogLevel(sdbus::Result<>&& result, std::string level) {
  answer_when_done(
      context_, getObject(), "io.halod.set-log-level", std::move(result),
      [&service = context_.service, level = std::move(level)] { return service.set_log_level(level); });
}

std::vector<std::string> ManagerObject::Features() {
  return {std::string(to_string(DrainPolicy::kDrain)), std::string(to_string(DrainPolicy::kPause))};
}

std::string ManagerObject::State() { return std::string(to_string(context_.models.readiness().state)); }

std::string ManagerObject::ActiveModel() {
  const Model* model = context_.models.active_model();
  return model ? model->spec.name : "";
}

sdbus::ObjectPath ManagerObject::ActiveModelPath() {
  const Model* model = context_.models.active_model();
  return sdbus::ObjectPath(model ? context_.paths.of(model->id) : kNoObject);
}

// ------------------------------------------------------------------------------------------------ Stats

uint64_t ManagerObject::RequestsFinished() {
  return context_.metrics.request_seconds.Collect().histogram.sample_count;
}
uint64_t ManagerObject::RequestsCancelled() { return count_of(context_.metrics.requests_cancelled); }
uint64_t ManagerObject::RequestsRefused() { return count_of(context_.metrics.requests_refused); }
uint64_t ManagerObject::PromptTokens() { return count_of(context_.metrics.prompt_tokens); }
uint64_t ManagerObject::GeneratedTokens() { return count_of(context_.metrics.generated_tokens); }
uint64_t ManagerObject::EngineDeaths() { return count_of(context_.metrics.engine_deaths); }

// ----------------------------------------------------------------------------------------------- Memory

uint64_t ManagerObject::MemTotalBytes() {
  const auto memory = read_machine_memory();
  return memory ? memory->total_bytes : 0;
}

uint64_t ManagerObject::MemAvailableBytes() {
  const auto memory = read_machine_memory();
  return memory ? memory->available_bytes : 0;
}

uint64_t ManagerObject::ModelsResidentBytes() {
  uint64_t bytes = 0;
  for (const auto& model : context_.models.models()) bytes += model->resident_bytes();
  return bytes;
}

// ----------------------------------------------------------------------------------------------- Tuning

std::vector<ManagerObject::Selection> ManagerObject::Selections() {
  std::vector<Selection> rows;
  for (const wire::KernelSelection& row : tuning_of(context_.models).selections)
    rows.emplace_back(row.operation, row.format, row.variant);
  return rows;
}

std::vector<std::string> ManagerObject::SelectionStates() {
  std::vector<std::string> states;
  for (const wire::KernelSelection& row : tuning_of(context_.models).selections) states.push_back(row.tuning);
  return states;
}

}  // namespace halod
