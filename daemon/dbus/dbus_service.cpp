#include "daemon/dbus/dbus_service.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <utility>

#include "base/dbus/open_bus.h"
#include "daemon/dbus/bus_paths.h"
#include "daemon/dbus/bus_session.h"

namespace halod {

namespace asio = boost::asio;

namespace {

constexpr std::chrono::milliseconds kRetryDelayMin{250};
constexpr std::chrono::milliseconds kRetryDelayMax{30'000};

using Connection = std::unique_ptr<sdbus::IConnection>;

BusPlace place_of(BusKind kind, const DBusConfig& config) {
  return {.is_system = kind == BusKind::kSystem, .address = config.address};
}

}  // namespace

BusKind choose_bus(const DBusConfig& config, const std::function<const char*(const char*)>& environment,
                   int pid) {
  if (config.bus == "none") return BusKind::kNone;
  if (config.bus == "system") return BusKind::kSystem;
  if (config.bus == "session") return BusKind::kSession;
  if (!config.address.empty()) return BusKind::kSystem;  // its address says which
  // INVOCATION_ID would not do: a terminal's shell inherits it from the desktop's services.
  const char* service_pid = environment("SYSTEMD_EXEC_PID");
  if (!service_pid || std::to_string(pid) != service_pid) return BusKind::kNone;
  return environment("MANAGERPID") ? BusKind::kSession : BusKind::kSystem;
}

DBusService::DBusService(Setup setup) : setup_(std::move(setup)), changed_(setup_.executor) {}
DBusService::~DBusService() = default;

asio::awaitable<void> DBusService::run(std::string http_endpoint) {
  const auto environment = [](const char* name) -> const char* { return std::getenv(name); };
  const BusKind kind = choose_bus(setup_.config.dbus, environment, ::getpid());
  if (kind == BusKind::kNone) {
    spdlog::info("not on D-Bus (dbus.bus: {})", setup_.config.dbus.bus);
    co_return;
  }
  const std::string bus = describe(place_of(kind, setup_.config.dbus));
  auto delay = kRetryDelayMin;
  while (!stopping_) {
    const Result<> connected = co_await connect(kind, http_endpoint);
    if (connected) {
      const bool had_name = co_await serve(bus);
      if (had_name) delay = kRetryDelayMin;
    }
    if (stopping_) break;
    if (session_ && session_->state() == BusSession::State::kRefused) {
      spdlog::error("{} refuses the name {}: {}; serving without D-Bus until halod is restarted", bus,
                    kBusName, session_->reason());
      break;
    }
    // Once a loss; the tries that follow are the same news.
    if (!std::exchange(told_of_loss_, true)) {
      spdlog::warn("{} cannot be reached: {}; serving without it and trying again", bus,
                   session_ ? session_->reason() : connected.error().message);
    }
    session_.reset();
    const auto deadline = std::chrono::steady_clock::now() + delay;
    while (!stopping_ && std::chrono::steady_clock::now() < deadline) co_await changed_.wait_until(deadline);
    delay = std::min(2 * delay, kRetryDelayMax);
  }
  session_.reset();
}

asio::awaitable<Result<>> DBusService::connect(BusKind kind, std::string http_endpoint) {
  // It waits for the bus, so not on the io thread.
  const auto open = [place = place_of(kind, setup_.config.dbus)] { return open_bus(place); };
  Result<Connection> connection = co_await setup_.workers.run(open);
  if (!connection) co_return connection.error();
  BusSession::Setup session{.executor = setup_.executor,
                            .models = setup_.models,
                            .service = setup_.service,
                            .machine = setup_.machine,
                            .metrics = setup_.metrics,
                            .version = setup_.version,
                            .http_endpoints = {http_endpoint},
                            .state_changed = [this] { changed_.notify(); }};
  try {
    session_ = std::make_unique<BusSession>(std::move(*connection), std::move(session));
  } catch (const std::exception& error) {  // the bus has gone again, or there are no file descriptors left
    co_return Error{ErrorCode::kUnavailable, error.what()};
  }
  co_return Result<>();
}

asio::awaitable<bool> DBusService::serve(const std::string& bus) {
  while (!stopping_ && session_->state() == BusSession::State::kAsking) co_await changed_.wait();
  if (stopping_ || session_->state() != BusSession::State::kServing) co_return false;
  spdlog::info("{} is on {}", kBusName, bus);
  told_of_loss_ = false;
  while (!stopping_ && session_->state() == BusSession::State::kServing) co_await changed_.wait();
  co_return true;
}

void DBusService::stop() {
  stopping_ = true;
  changed_.notify();
}

void DBusService::power_changed() {
  if (session_) session_->power_changed();
}

void DBusService::on_readiness(const Readiness& readiness) {
  if (session_) session_->on_readiness(readiness);
}
void DBusService::on_model_added(const Model& model) {
  if (session_) session_->on_model_added(model);
}
void DBusService::on_model_changed(const Model& model) {
  if (session_) session_->on_model_changed(model);
}
void DBusService::on_model_removed(const Model& model) {
  if (session_) session_->on_model_removed(model);
}
void DBusService::on_active_model(const Model* model) {
  if (session_) session_->on_active_model(model);
}
void DBusService::on_job_added(const Job& job) {
  if (session_) session_->on_job_added(job);
}
void DBusService::on_job_changed(const Job& job) {
  if (session_) session_->on_job_changed(job);
}
void DBusService::on_job_ended(const Job& job) {
  if (session_) session_->on_job_ended(job);
}
void DBusService::on_heartbeat() {
  if (session_) session_->on_heartbeat();
}

}  // namespace halod
