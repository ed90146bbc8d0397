#include "daemon/dbus/authorizer.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <map>
#include <tuple>
#include <utility>

namespace halod {

using sdbus_compat::AsyncError;
using sdbus_compat::Caller;

namespace {

constexpr std::chrono::seconds kTimeout{10};
/// Of a user who looks for the password.
constexpr std::chrono::minutes kTimeoutOfPeople{2};
constexpr uint32_t kAllowUserInteraction = 1;

using Details = std::map<std::string, std::string>;
using Subject = sdbus::Struct<std::string, std::map<std::string, sdbus::Variant>>;
using PolkitAnswer = sdbus::Struct<bool, bool, Details>;  // is authorized, is a challenge, details

/// Those who could do it anyway: by ending halod, or by its files.
bool is_trusted(uint32_t uid) { return uid == 0 || uid == ::geteuid(); }

}  // namespace

Authorizer::Authorizer(sdbus::IConnection& connection)
    : bus_(sdbus_compat::make_proxy(connection, "org.freedesktop.DBus", "/org/freedesktop/DBus")),
      polkit_(sdbus_compat::make_proxy(connection, "org.freedesktop.PolicyKit1",
                                       "/org/freedesktop/PolicyKit1/Authority")) {}

void Authorizer::authorize(const Caller& caller, const std::string& action,
                           std::function<void(Authorization)> done) {
  auto ask = [this, caller, action, done = std::move(done)](AsyncError error, uint32_t uid) {
    if (error) return done({.refusal = "the bus does not say who you are: " + error->getMessage()});
    ask_polkit(caller, action, {.name = caller.bus_name, .uid = uid}, done);
  };
  bus_->callMethodAsync("GetConnectionUnixUser")
      .onInterface("org.freedesktop.DBus")
      .withTimeout(kTimeout)
      .withArguments(caller.bus_name)
      .uponReplyInvoke(std::move(ask));
}

void Authorizer::ask_polkit(const Caller& caller, const std::string& action, Requester requester,
                            std::function<void(Authorization)> done) {
  // By its unique name, which the bus gives to nobody else: a process id could belong to another one by now.
  const Subject subject{"system-bus-name", {{"name", sdbus::Variant(caller.bus_name)}}};
  auto decide = [action, requester, done = std::move(done)](AsyncError error, const PolkitAnswer& answer) {
    Authorization outcome{.requester = requester};
    if (error) {
      outcome.allowed = is_trusted(requester.uid);
      outcome.refusal = fmt::format(
          "polkit cannot be asked for {} ({}), and without it only root and the user that halod runs as may",
          action, error->getMessage());
    } else {
      outcome.allowed = std::get<0>(answer);
      outcome.refusal = fmt::format("you may not: polkit denies {}{}", action,
                                    std::get<1>(answer) ? " without an administrator's password" : "");
    }
    done(std::move(outcome));
  };
  const std::chrono::microseconds timeout =
      caller.may_be_asked ? std::chrono::microseconds(kTimeoutOfPeople) : std::chrono::microseconds(kTimeout);
  polkit_->callMethodAsync("CheckAuthorization")
      .onInterface("org.freedesktop.PolicyKit1.Authority")
      .withTimeout(timeout)
      .withArguments(subject, action, Details{}, caller.may_be_asked ? kAllowUserInteraction : 0U,
                     std::string())
      .uponReplyInvoke(std::move(decide));
}

}  // namespace halod
