#include "daemon/dbus/bus_session.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <utility>

#include "daemon/dbus/bus_values.h"

namespace halod {

using sdbus_compat::AsyncError;

namespace {

// Of org.freedesktop.DBus.RequestName.
constexpr uint32_t kDoNotQueue = 4;
constexpr uint32_t kPrimaryOwner = 1;
constexpr const char* kAccessDenied = "org.freedesktop.DBus.Error.AccessDenied";

}  // namespace

BusSession::BusSession(std::unique_ptr<sdbus::IConnection> connection, Setup setup)
    : setup_(std::move(setup)),
      connection_(std::move(connection)),
      bridge_(
          std::make_shared<AsioBridge>(setup_.executor, *connection_,
                                       [this](std::string why) { set_state(State::kLost, std::move(why)); })),
      bus_(sdbus_compat::make_proxy(*connection_, "org.freedesktop.DBus", "/org/freedesktop/DBus")),
      authorizer_(*connection_),
      context_{.models = setup_.models,
               .service = setup_.service,
               .machine = setup_.machine,
               .metrics = setup_.metrics,
               .authorizer = authorizer_,
               .paths = paths_,
               .version = setup_.version,
               .http_endpoints = setup_.http_endpoints,
               .changed = [this] { publish_manager(); }},
      publish_timer_(setup_.executor) {
  sdbus_compat::add_object_manager(*connection_, kBusRoot);
  for (const auto& model : setup_.models.models()) add(*model, false);
  for (const Job& job : setup_.models.jobs())
    jobs_[job.id] = std::make_unique<JobObject>(*connection_, context_, job.id);
  manager_ = std::make_unique<ManagerObject>(*connection_, context_);
  ask_for_name();
  bridge_->start();
}

BusSession::~BusSession() { bridge_->stop(); }

void BusSession::ask_for_name() {
  auto answered = [this](AsyncError error, uint32_t outcome) {
    // Anything but a policy's no (a bus too busy to answer, say) may be otherwise next time.
    if (error)
      return set_state(error->getName() == kAccessDenied ? State::kRefused : State::kLost,
                       error->getMessage());
    if (outcome != kPrimaryOwner)
      return set_state(State::kRefused, "another process has it, perhaps another halod");
    set_state(State::kServing, "");
  };
  // Not by IConnection::requestName, which would block the io thread.
  bus_->callMethodAsync("RequestName")
      .onInterface("org.freedesktop.DBus")
      .withArguments(std::string(kBusName), kDoNotQueue)
      .uponReplyInvoke(std::move(answered));
}

void BusSession::set_state(State state, std::string reason) {
  if (state_ == State::kLost) return;  // a refusal that only says so once more
  state_ = state;
  reason_ = std::move(reason);
  setup_.state_changed();
}

/// The bridge notices by itself when the bus is lost.
template <class Tell>
void BusSession::tell_bus(Tell tell) {
  if (state_ == State::kLost) return;
  try {
    tell();
  } catch (const sdbus::Error& error) {
    spdlog::debug("D-Bus: a signal could not be sent: {}", error.getMessage());
  }
  bridge_->kick();
}

// ---------------------------------------------------------------------------------------- what changes

void BusSession::on_readiness(const Readiness& /*readiness*/) { publish_manager(); }
void BusSession::on_active_model(const Model* /*model*/) {
  publish_manager();
  tell_bus([this] { manager_->publish_tuning(); });
}
void BusSession::on_heartbeat() { publish_manager(); }  // the log level may have been set over HTTP

void BusSession::power_changed() {
  tell_bus([this] { manager_->publish_power(); });
}

void BusSession::publish_manager() {
  tell_bus([this] {
    if (!manager_->publish()) publish_later();
  });
}

/// For what was held back because something like it was told a moment ago.
void BusSession::publish_later() {
  if (std::exchange(publish_is_due_, true)) return;
  publish_timer_.expires_after(kProgressInterval);
  publish_timer_.async_wait([this, alive = std::weak_ptr(alive_)](const boost::system::error_code& ec) {
    if (ec || alive.expired()) return;  // a handler that is queued already cannot be cancelled
    publish_is_due_ = false;
    publish_manager();
    for (const auto& [id, job] : jobs_) {
      if (const Job* known = setup_.models.find_job(id); known && !known->ended()) on_job_changed(*known);
    }
  });
}

void BusSession::add(const Model& model, bool announce) {
  auto& object = models_[model.id];
  object = std::make_unique<ModelObject>(*connection_, context_, model);
  if (announce) object->announce();
}

void BusSession::remove(ModelId id) {
  const auto found = models_.find(id);
  if (found == models_.end()) return;
  found->second->withdraw();
  models_.erase(found);
  paths_.remove(id);
}

void BusSession::on_model_added(const Model& model) {
  tell_bus([&] { add(model, true); });
}

void BusSession::on_model_changed(const Model& model) {
  tell_bus([&] {
    manager_->publish_tuning();
    const auto found = models_.find(model.id);
    if (found == models_.end()) return;
    if (found->second->name() == model.spec.name) return found->second->publish();
    // A new name in the configuration is a new path.
    remove(model.id);
    add(model, true);
    if (!manager_->publish()) publish_later();
  });
}

void BusSession::on_model_removed(const Model& model) {
  tell_bus([&] { remove(model.id); });
}

void BusSession::on_job_added(const Job& job) {
  tell_bus([&] {
    forget_old_jobs();
    auto& object = jobs_[job.id];
    object = std::make_unique<JobObject>(*connection_, context_, job.id);
    object->announce();
    manager_->tell_new(job);
  });
}

void BusSession::on_job_changed(const Job& job) {
  tell_bus([&] {
    const auto found = jobs_.find(job.id);
    if (found != jobs_.end() && !found->second->publish()) publish_later();
  });
}

void BusSession::on_job_ended(const Job& job) {
  on_job_changed(job);
  tell_bus([&] { manager_->tell_ended(job); });
}

/// Those that the ModelManager has forgotten.
void BusSession::forget_old_jobs() {
  for (auto job = jobs_.begin(); job != jobs_.end();) {
    if (setup_.models.find_job(job->first)) {
      ++job;
      continue;
    }
    job->second->withdraw();
    job = jobs_.erase(job);
  }
}

}  // namespace halod
