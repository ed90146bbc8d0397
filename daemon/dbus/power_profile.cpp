#include "daemon/dbus/power_profile.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <chrono>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "base/dbus/open_bus.h"
#include "daemon/control/signal.h"
#include "daemon/dbus/asio_bridge.h"

namespace halod {

namespace asio = boost::asio;
using sdbus_compat::AsyncError;

namespace {

/// The bus may have to start the daemon first.
constexpr std::chrono::seconds kHoldTimeout{30};
/// The end of the connection releases as well.
constexpr std::chrono::seconds kReleaseTimeout{5};
constexpr const char* kApplicationId = "io.halod.Halod1";
constexpr const char* kReason = "computing answers of language models";

/// The interface is called as the bus name is.
struct ProfileService {
  const char* name;
  const char* path;
};
constexpr std::array kServices{
    ProfileService{"org.freedesktop.UPower.PowerProfiles", "/org/freedesktop/UPower/PowerProfiles"},
    ProfileService{"net.hadess.PowerProfiles", "/net/hadess/PowerProfiles"}};

bool says_that_nobody_is_there(std::string_view error_name) {
  constexpr std::string_view kPrefix = "org.freedesktop.DBus.Error.";
  if (!error_name.starts_with(kPrefix)) return false;
  error_name.remove_prefix(kPrefix.size());
  return error_name == "ServiceUnknown" || error_name == "NameHasNoOwner" || error_name.starts_with("Spawn.");
}

/// Nothing when the signal is none of theirs.
template <class Message>
std::optional<uint32_t> cookie_in(Message& message) {
  try {
    uint32_t cookie = 0;
    message >> cookie;
    return cookie;
  } catch (const sdbus::Error& error) {
    spdlog::debug("ProfileReleased: {}", error.getMessage());
    return std::nullopt;
  }
}

Error error_of(const ProfileService& service, const sdbus::Error& error) {
  const std::string& name = error.getName();
  if (says_that_nobody_is_there(name)) {
    return {ErrorCode::kNotFound,
            fmt::format("neither {} nor {} is there ({}); install power-profiles-daemon or tuned-ppd, or set "
                        "power.hold_profile to off",
                        kServices[0].name, kServices[1].name, error.getMessage())};
  }
  if (name == "org.freedesktop.DBus.Error.AccessDenied") {
    return {ErrorCode::kUnavailable,
            fmt::format("{} denies it to the user that halod runs as ({}); a polkit rule for the action "
                        "{}.hold-profile lets it",
                        service.name, error.getMessage(), service.name)};
  }
  return {ErrorCode::kUnavailable, fmt::format("{} refuses it: {}", service.name, error.getMessage())};
}

}  // namespace

struct PowerProfile::Hold {
  Hold(const asio::any_io_executor& executor, std::string wanted_profile)
      : profile(std::move(wanted_profile)), changed(executor) {}
  ~Hold() { disconnect(); }
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;

  struct Link {
    // In the order of who needs whom: the connection goes last.
    std::unique_ptr<sdbus::IConnection> connection;
    std::vector<std::unique_ptr<sdbus::IProxy>> services;  // as kServices
    std::vector<sdbus::Slot> matches;
  };
  /// Waits for the bus several times, so not on the io thread.
  static Result<Link> open(const std::string& address, const std::weak_ptr<Hold>& weak);
  void disconnect() {
    if (bridge) std::exchange(bridge, nullptr)->stop();
    link.matches.clear();
    link.services.clear();
    link.connection.reset();
  }
  void end(std::string why) {
    if (ended.empty()) ended = std::move(why);
    changed.notify();
  }

  std::string profile;
  Signal changed;                // anything below
  bool wanted = true;            // false: release() was called
  std::string ended;             // why it is over without that; empty: it is not
  std::optional<Error> refused;  // the answer to the call that was made last
  std::optional<uint32_t> cookie;
  const ProfileService* granted_by = nullptr;
  Link link;
  std::shared_ptr<AsioBridge> bridge;
};

Result<PowerProfile::Hold::Link> PowerProfile::Hold::open(const std::string& address,
                                                          const std::weak_ptr<Hold>& weak) {
  auto connection = open_bus({.address = address});
  if (!connection) return connection.error();
  Link link{.connection = std::move(*connection), .services = {}, .matches = {}};
  try {
    for (const ProfileService& service : kServices) {
      link.services.push_back(sdbus_compat::make_proxy(*link.connection, service.name, service.path));
      const auto on_released = [weak](auto&& message) {
        const auto hold = weak.lock();
        if (hold && hold->cookie && hold->cookie == cookie_in(message))
          hold->end("somebody chose another power profile");
      };
      link.matches.push_back(sdbus_compat::add_match(
          *link.connection,
          fmt::format("type='signal',sender='{0}',interface='{0}',member='ProfileReleased'", service.name),
          on_released));
      // A daemon that is restarted knows nothing of its predecessor's holds.
      const auto on_owner = [weak, &service](auto&&) {
        const auto hold = weak.lock();
        if (hold && hold->cookie && hold->granted_by == &service)
          hold->end(fmt::format("{} went away or was restarted", service.name));
      };
      link.matches.push_back(sdbus_compat::add_match(
          *link.connection,
          fmt::format("type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',"
                      "member='NameOwnerChanged',arg0='{}'",
                      service.name),
          on_owner));
    }
  } catch (const sdbus::Error& error) {
    return Error{ErrorCode::kUnavailable, error.getMessage()};
  }
  return link;
}

PowerProfile::PowerProfile(Setup setup) : setup_(std::move(setup)) {}
PowerProfile::~PowerProfile() = default;

void PowerProfile::hold(const std::string& profile) {
  hold_ = std::make_shared<Hold>(setup_.executor, profile);
  asio::co_spawn(setup_.executor, run(hold_), asio::detached);
}

void PowerProfile::release() {
  if (!hold_) return;
  hold_->wanted = false;
  hold_->changed.notify();
  set_status(*hold_, {});
  hold_.reset();
}

asio::awaitable<void> PowerProfile::run(std::shared_ptr<Hold> hold) {
  Result<> granted = co_await connect(hold);
  if (granted) granted = co_await ask(hold);
  if (!granted) {
    // The end of the connection takes back what the daemon may have granted meanwhile.
    hold->disconnect();
    if (hold->wanted) tell_problem(granted.error().message);
    set_status(*hold, {.profile = "", .problem = granted.error().message});
    co_return;
  }
  spdlog::info("the power profile '{}' is held ({})", hold->profile, hold->granted_by->name);
  told_problem_.clear();
  set_status(*hold, {.profile = hold->profile, .problem = ""});
  while (hold->wanted && hold->ended.empty()) co_await hold->changed.wait();
  if (hold->ended.empty()) {
    co_await give_back(hold);
    spdlog::info("the power profile '{}' is released", hold->profile);
  } else {
    spdlog::warn(
        "the power profile '{}' is held no more: {}; asked for again when there is work after a pause",
        hold->profile, hold->ended);
    set_status(*hold, {.profile = "", .problem = hold->ended});
  }
  hold->disconnect();
}

asio::awaitable<Result<>> PowerProfile::connect(std::shared_ptr<Hold> hold) {
  const auto open = [address = setup_.bus_address, weak = std::weak_ptr(hold)] {
    return Hold::open(address, weak);
  };
  Result<Hold::Link> link = co_await setup_.workers.run(open);
  if (!link) {
    co_return Error{ErrorCode::kUnavailable,
                    fmt::format("{} cannot be reached: {}", describe({.address = setup_.bus_address}),
                                link.error().message)};
  }
  hold->link = std::move(*link);
  const auto on_lost = [weak = std::weak_ptr(hold)](const std::string& why) {
    if (const auto lost = weak.lock()) lost->end("the bus was lost: " + why);
  };
  try {
    hold->bridge = std::make_shared<AsioBridge>(setup_.executor, *hold->link.connection, on_lost);
  } catch (const std::exception& error) {  // there are no file descriptors left
    co_return Error{ErrorCode::kUnavailable, error.what()};
  }
  hold->bridge->start();
  co_return Result<>();
}

/// One service after the other. The error is the one that says more than that nobody is there.
asio::awaitable<Result<>> PowerProfile::ask(std::shared_ptr<Hold> hold) {
  std::optional<Error> why;
  for (size_t i = 0; i < kServices.size(); ++i) {
    const ProfileService& service = kServices[i];
    hold->refused.reset();
    auto answered = [weak = std::weak_ptr(hold), &service](AsyncError error, uint32_t cookie) {
      const auto asking = weak.lock();
      if (!asking) return;
      if (error) {
        asking->refused = error_of(service, *error);
      } else {
        asking->cookie = cookie;
        asking->granted_by = &service;
      }
      asking->changed.notify();
    };
    try {
      hold->link.services[i]
          ->callMethodAsync("HoldProfile")
          .onInterface(service.name)
          .withTimeout(kHoldTimeout)
          .withArguments(hold->profile, std::string(kReason), std::string(kApplicationId))
          .uponReplyInvoke(std::move(answered));
    } catch (const sdbus::Error& error) {
      hold->end(error.getMessage());
    }
    hold->bridge->kick();
    while (hold->wanted && hold->ended.empty() && !hold->cookie && !hold->refused)
      co_await hold->changed.wait();
    if (!hold->ended.empty()) co_return Error{ErrorCode::kUnavailable, hold->ended};
    if (hold->cookie) co_return Result<>();
    if (!hold->wanted) co_return Error{ErrorCode::kCancelled, "released before it was granted"};
    if (!why || why->code == ErrorCode::kNotFound) why = hold->refused;
  }
  co_return *why;
}

asio::awaitable<void> PowerProfile::give_back(std::shared_ptr<Hold> hold) {
  const size_t service_idx = static_cast<size_t>(hold->granted_by - kServices.data());
  auto answered = [weak = std::weak_ptr(hold)](AsyncError error) {
    const auto released = weak.lock();
    if (!released) return;
    if (error) spdlog::debug("ReleaseProfile: {}", error->getMessage());
    released->cookie.reset();
    released->changed.notify();
  };
  const auto deadline = std::chrono::steady_clock::now() + kReleaseTimeout;
  try {
    hold->link.services[service_idx]
        ->callMethodAsync("ReleaseProfile")
        .onInterface(hold->granted_by->name)
        .withTimeout(kReleaseTimeout)
        .withArguments(*hold->cookie)
        .uponReplyInvoke(std::move(answered));
  } catch (const sdbus::Error& error) {
    co_return;  // lost, and the hold with it
  }
  hold->bridge->kick();
  while (hold->cookie && hold->ended.empty() && std::chrono::steady_clock::now() < deadline)
    co_await hold->changed.wait_until(deadline);
}

void PowerProfile::set_status(const Hold& hold, PowerStatus status) {
  if (hold_.get() != &hold) return;  // there is a newer one, or none is wanted any more
  const bool same = status.profile == status_.profile && status.problem == status_.problem;
  status_ = std::move(status);
  if (!same) setup_.changed();
}

void PowerProfile::tell_problem(const std::string& problem) {
  if (std::exchange(told_problem_, problem) == problem) return;
  spdlog::warn("the power profile is not held: {}; serving all the same", problem);
}

}  // namespace halod
