// Who may open the GPU.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "cli/doctor/checks.h"

namespace halod::cli {
namespace {

constexpr std::string_view kUser = "halod";
constexpr const char* kGroups[] = {"render", "video"};

/// The service as systemd starts it: the unit's supplementary groups, whether or not the user exists.
Identity service_identity(const Accounts& accounts) {
  // 65534 is nobody: a dynamic user owns no device.
  Identity identity = accounts.find_user(kUser).value_or(Identity{std::string(kUser), 65534, {65534}});
  for (const char* name : kGroups) {
    const Group* group = accounts.find_group(name);
    if (group && !identity.in(group->gid)) identity.gids.push_back(group->gid);
  }
  return identity;
}

std::vector<std::string> missing_groups(const Accounts& accounts, const Identity& identity) {
  std::vector<std::string> missing;
  for (const char* name : kGroups) {
    const Group* group = accounts.find_group(name);
    if (group && !identity.in(group->gid)) missing.emplace_back(name);
  }
  return missing;
}

}  // namespace

Finding check_groups(const Subject& subject) {
  const Accounts& accounts = subject.machine.accounts;
  for (const char* name : kGroups) {
    if (accounts.find_group(name)) continue;
    return fail(fmt::format("there is no group {}", name),
                fmt::format("the service unit names it: sudo groupadd --system {}", name));
  }
  const auto user = accounts.find_user(kUser);
  if (user && !missing_groups(accounts, *user).empty()) {
    const auto missing = missing_groups(accounts, *user);
    return warn(fmt::format("user {} is not in {}", kUser, fmt::join(missing, " and ")),
                fmt::format("sudo usermod -aG {} {}, then restart halod", fmt::join(missing, ","), kUser));
  }
  const Identity& caller = subject.caller;
  if (subject.machine.is_live() && caller.uid != 0) {
    const auto missing = missing_groups(accounts, caller);
    if (!missing.empty()) {
      return warn(fmt::format("user {} is not in {}", caller.name, fmt::join(missing, " and ")),
                  fmt::format("to run halod by hand: sudo usermod -aG {} {}, then log in again",
                              fmt::join(missing, ","), caller.name));
    }
  }
  return ok(fmt::format("render and video exist{}", user ? ", user halod is in both" : ""));
}

Finding check_device_nodes(const Subject& subject) {
  const Machine& machine = subject.machine;
  const auto& nodes = machine.device_nodes;
  std::vector<std::string> seen;
  for (const DeviceNode& node : nodes)
    seen.push_back(fmt::format("{} {} {:04o}", node.path, node.group, node.mode));
  const std::string evidence = fmt::format("{}", fmt::join(seen, ", "));
  for (const std::string& path : {std::string("/dev/kfd"), "/dev/dri/" + machine.gpu()->render_node}) {
    if (path.ends_with('/') || std::ranges::find(nodes, path, &DeviceNode::path) != nodes.end()) continue;
    return fail(fmt::format("{} does not exist", path),
                fmt::format("load the module amdgpu; in a container, pass the device in: --device {}", path));
  }
  const Identity service = service_identity(machine.accounts);
  for (const DeviceNode& node : nodes) {
    if (!may_open(node, service)) {
      return fail(
          fmt::format("the service may not open it: {} {} {:04o}", node.path, node.group, node.mode),
          fmt::format("it should be render 0660: sudo chgrp render {0} && sudo chmod 660 {0}, and a udev "
                      "rule so that it stays: KERNEL==\"{1}\", GROUP=\"render\", MODE=\"0660\"",
                      node.path, node.path == "/dev/kfd" ? "kfd" : "renderD*"));
    }
    if (machine.is_live() && !node.opens_for_caller) {
      return warn(fmt::format("user {} may not open {} ({} {:04o}); the service may", subject.caller.name,
                              node.path, node.group, node.mode),
                  fmt::format("to run halod by hand: sudo usermod -aG {} {}, then log in again", node.group,
                              subject.caller.name));
    }
  }
  return ok(evidence);
}

}  // namespace halod::cli
