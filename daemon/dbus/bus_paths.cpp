#include "daemon/dbus/bus_paths.h"

#include <fmt/format.h>
#include <systemd/sd-bus.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "base/error.h"

namespace halod {
namespace {

std::string model_path(const std::string& name) {
  static const std::string folder = std::string(kBusRoot) + "/model";
  char* encoded = nullptr;
  const int status = ::sd_bus_path_encode(folder.c_str(), name.c_str(), &encoded);
  const std::unique_ptr<char, decltype(&std::free)> owner(encoded, &std::free);
  HALOD_ASSERT(status >= 0);
  return encoded;
}

}  // namespace

std::string job_path(JobId id) { return fmt::format("{}/job/{}", kBusRoot, to_int(id)); }

std::string ModelPaths::add(ModelId id, std::string_view name) {
  std::string path = model_path(std::string(name));
  const bool taken = std::ranges::any_of(
      paths_, [&](const auto& entry) { return entry.first != id && entry.second == path; });
  if (taken) path = model_path(fmt::format("{}@{}", name, to_int(id)));
  paths_[id] = path;
  return path;
}

std::string ModelPaths::of(ModelId id) const {
  const auto found = paths_.find(id);
  return found == paths_.end() ? kNoObject : found->second;
}

}  // namespace halod
