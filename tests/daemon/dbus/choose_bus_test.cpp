#include <gtest/gtest.h>

#include <map>

#include "daemon/dbus/dbus_service.h"

namespace halod {
namespace {

constexpr int kPid = 4711;

BusKind choose(const DBusConfig& config, const std::map<std::string, std::string>& environment = {}) {
  const auto get = [&environment](const char* name) -> const char* {
    const auto found = environment.find(name);
    return found == environment.end() ? nullptr : found->second.c_str();
  };
  return choose_bus(config, get, kPid);
}

TEST(TheBus, IsNoneForAHalodStartedByHand) {
  EXPECT_EQ(choose({}), BusKind::kNone);
  // As in a terminal that the desktop's systemd started.
  EXPECT_EQ(choose({}, {{"SYSTEMD_EXEC_PID", "1200"}, {"INVOCATION_ID", "0123"}}), BusKind::kNone);
}

TEST(TheBus, IsThatOfTheSystemdThatStartedHalod) {
  EXPECT_EQ(choose({}, {{"SYSTEMD_EXEC_PID", "4711"}}), BusKind::kSystem);
  EXPECT_EQ(choose({}, {{"SYSTEMD_EXEC_PID", "4711"}, {"MANAGERPID", "900"}}), BusKind::kSession);
}

TEST(TheBus, IsTheConfiguredOne) {
  const std::map<std::string, std::string> service{{"SYSTEMD_EXEC_PID", "4711"}};
  EXPECT_EQ(choose({.bus = "system"}), BusKind::kSystem);
  EXPECT_EQ(choose({.bus = "session"}, service), BusKind::kSession);
  EXPECT_EQ(choose({.bus = "none"}, service), BusKind::kNone);
  EXPECT_EQ(choose({.bus = "none", .address = "unix:path=/run/bus"}), BusKind::kNone);
  EXPECT_NE(choose({.bus = "auto", .address = "unix:path=/run/bus"}), BusKind::kNone);
}

}  // namespace
}  // namespace halod
