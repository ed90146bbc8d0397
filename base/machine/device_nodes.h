// The files through which programs reach the GPU.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/machine/accounts.h"

namespace halod {

struct DeviceNode {
  std::string path;  ///< as on the machine itself: "/dev/kfd"
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::string group;              ///< the name of gid, or its number
  uint32_t mode = 0;              ///< permission bits
  bool opens_for_caller = false;  ///< by the kernel's own word, access lists included; not by opening it
};

/// By the permission bits; an access list may allow more. Thread: any.
bool may_open(const DeviceNode& node, const Identity& identity);

/// /dev/kfd and /dev/dri/renderD*, those that exist. Thread: any.
std::vector<DeviceNode> read_device_nodes(const std::filesystem::path& root, const Accounts& accounts);

}  // namespace halod
