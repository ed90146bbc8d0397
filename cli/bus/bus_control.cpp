#include "cli/bus/bus_control.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <map>
#include <string_view>
#include <utility>

#include "cli/bus/bus_json.h"

namespace halod::cli {

namespace json = boost::json;

namespace {

// halod gives people two minutes for their password (daemon/dbus/authorizer.cpp); its answer must still find
// us.
constexpr std::chrono::microseconds kTimeout = std::chrono::seconds(150);

constexpr std::string_view kUnknownObject = "org.freedesktop.DBus.Error.UnknownObject";

/// Of the bus, when there is nobody to call.
constexpr std::array<std::string_view, 7> kNobodyThere = {
    "org.freedesktop.DBus.Error.ServiceUnknown",
    "org.freedesktop.DBus.Error.NameHasNoOwner",
    "org.freedesktop.DBus.Error.NoReply",
    "org.freedesktop.DBus.Error.Timeout",
    "org.freedesktop.DBus.Error.Disconnected",
    "org.freedesktop.systemd1.NoSuchUnit",
    "System.Error.ENOTCONN",
};

bool is_denied(std::string_view name) {
  return name == "org.freedesktop.DBus.Error.AccessDenied" ||
         name == "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired" ||
         name == "System.Error.EACCES" || name == "System.Error.EPERM";
}

bool is_nobody_there(std::string_view name) {
  return name.starts_with("org.freedesktop.DBus.Error.Spawn.") ||
         std::ranges::find(kNobodyThere, name) != kNobodyThere.end();
}

std::string job_path(uint32_t id) { return fmt::format("{}/job/{}", kBusRoot, id); }

uint32_t job_id_of(std::string_view path) {
  const std::string_view number = path.substr(path.rfind('/') + 1);
  uint32_t id = 0;
  std::from_chars(number.data(), number.data() + number.size(), id);
  return id;
}

}  // namespace

Result<BusPresence> find_halod(sdbus::IConnection& connection) {
  try {
    const auto bus = sdbus_compat::make_proxy(connection, "org.freedesktop.DBus", "/org/freedesktop/DBus");
    bool is_there = false;
    bus->callMethod("NameHasOwner")
        .onInterface("org.freedesktop.DBus")
        .withArguments(std::string(kBusName))
        .storeResultsTo(is_there);
    if (is_there) return BusPresence::kThere;
    std::vector<std::string> names;
    bus->callMethod("ListActivatableNames").onInterface("org.freedesktop.DBus").storeResultsTo(names);
    return std::ranges::find(names, kBusName) == names.end() ? BusPresence::kAbsent
                                                             : BusPresence::kActivatable;
  } catch (const sdbus::Error& error) {
    return Error{ErrorCode::kUnavailable, error.getMessage()};
  }
}

Failure failure_of_bus(const sdbus::Error& error, const std::string& bus) {
  const std::string name = error.getName(), message = error.getMessage();
  if (const auto code = error_code_of_bus(name)) return {exit_status_of_refusal(*code), message};
  if (is_denied(name)) {
    return {
        kRefused,
        fmt::format("{}. Use sudo, or be a member of the group halod-admin; over HTTP it takes one of the "
                    "server's http.admin_keys (--api-key)",
                    message)};
  }
  if (is_nobody_there(name)) {
    return {kUnreachable,
            fmt::format("halod does not answer on {}: {}. Start it (sudo systemctl start halod), or name "
                        "another server with --url or --bus",
                        bus, message)};
  }
  return {kRefused, fmt::format("{} answered {}: {}", bus, name, message)};
}

template <class Answer, class Ask>
Reply<Answer> BusControl::ask(Ask&& ask_it) {
  try {
    return std::forward<Ask>(ask_it)();
  } catch (const sdbus::Error& error) {
    return failure_of_bus(error, bus_);
  }
}

template <class Answer, class Ask>
Reply<Answer> BusControl::ask_job(uint32_t id, Ask&& ask_it) {
  try {
    JobProxy job(*connection_, job_path(id));
    return std::forward<Ask>(ask_it)(job);
  } catch (const sdbus::Error& error) {
    if (std::string(error.getName()) == kUnknownObject)
      return Failure{kRefused, fmt::format("there is no job {}", id)};
    return failure_of_bus(error, bus_);
  }
}

BusControl::BusControl(std::unique_ptr<sdbus::IConnection> connection, std::string bus)
    : connection_(std::move(connection)), bus_(std::move(bus)) {
  connection_->setMethodCallTimeout(kTimeout);
  sdbus_compat::allow_interaction(*connection_);
  manager_ = std::make_unique<ManagerProxy>(*connection_);
}

std::string BusControl::url() const {
  try {
    const auto endpoints = manager_->HttpEndpoints();
    return endpoints.empty() ? bus_ : endpoints.front();
  } catch (const sdbus::Error&) {
    return bus_;  // what is asked next fails too, and says why
  }
}

Reply<json::value> BusControl::health() {
  return ask<json::value>(
      [this]() -> json::value { return health_of_bus(manager_->properties(), manager_->statistics()); });
}

Reply<json::value> BusControl::version() {
  return ask<json::value>([this]() -> json::value {
    const auto rows = manager_->ListModels();
    const auto active = std::ranges::find_if(
        rows, [](const ModelRow& row) { return value_of<bool>(std::get<4>(row), "active"); });
    return version_of_bus(manager_->properties(), active == rows.end() ? nullptr : &*active);
  });
}

Reply<ModelList> BusControl::models() {
  return ask<ModelList>([this] {
    ModelList list{.has_admin = true};
    for (const ModelRow& row : manager_->ListModels()) list.models.push_back(model_of_bus(row));
    return list;
  });
}

Reply<json::array> BusControl::jobs() {
  return ask<json::array>([this] {
    json::array jobs;
    for (const auto& row : manager_->ListJobs()) {
      const auto found = job(std::get<0>(row));
      // One that is forgotten since the list was made.
      if (found) jobs.push_back(*found);
    }
    return jobs;
  });
}

Reply<json::value> BusControl::job(uint32_t id) {
  return ask_job<json::value>(id,
                              [](JobProxy& proxy) -> json::value { return job_of_bus(proxy.properties()); });
}

Reply<json::value> BusControl::machine() {
  return ask<json::value>(
      [this]() -> json::value { return machine_of_bus(manager_->memory(), manager_->power()); });
}

Reply<json::value> BusControl::tuning() {
  return ask<json::value>([this]() -> json::value { return tuning_of_bus(manager_->tuning()); });
}

sdbus::ObjectPath BusControl::order_job(const JobOrder& order) {
  std::map<std::string, sdbus::Variant> options;
  if (!order.policy.empty()) options["policy"] = sdbus::Variant(order.policy);
  if (order.verb == "load") return manager_->Load(order.model, options);
  if (order.verb == "unload") return manager_->Unload(order.model, options);
  if (order.verb == "swap") return manager_->Swap(order.model, options);
  HALOD_ASSERT(order.verb == "rescan");
  return manager_->Rescan();
}

Reply<json::value> BusControl::start(const JobOrder& order) {
  const auto path = ask<sdbus::ObjectPath>([this, &order] { return order_job(order); });
  if (!path) return path.error();
  return job(job_id_of(*path));
}

Reply<json::value> BusControl::cancel(uint32_t id) {
  return ask_job<json::value>(id, [](JobProxy& proxy) -> json::value {
    proxy.Cancel();
    return job_of_bus(proxy.properties());
  });
}

Reply<json::value> BusControl::reload() {
  return ask<json::value>([this]() -> json::value {
    manager_->Reload();
    return json::object{{"status", "ok"}};
  });
}

Reply<json::value> BusControl::set_log_level(const std::string& level) {
  return ask<json::value>([this, &level]() -> json::value {
    manager_->SetLogLevel(level);
    return json::object{{"level", value_of<std::string>(manager_->properties(), "LogLevel")}};
  });
}

}  // namespace halod::cli
