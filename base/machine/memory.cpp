#include "base/machine/memory.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "base/machine/control_group.h"
#include "base/machine/text_file.h"

namespace halod {
namespace {

namespace fs = std::filesystem;

std::optional<uint64_t> find_number(const fs::path& file, std::string_view key) {
  const auto value = find_value(file, key);
  return value ? parse_number(*value) : std::nullopt;
}

/// What is left below the tightest limit of the group and its ancestors.
void apply_group_limits(const fs::path& root, MachineMemory& memory) {
  for (const fs::path& folder : control_group_folders(root)) {
    const auto limit = find_number(folder / "memory.max", "");
    const auto used = find_number(folder / "memory.current", "");
    if (!limit || !used) continue;
    // The file cache is counted as used, but gives way.
    const uint64_t cached = find_number(folder / "memory.stat", "inactive_file ").value_or(0) +
                            find_number(folder / "memory.stat", "active_file ").value_or(0);
    const uint64_t kept = *used - std::min(*used, cached);
    memory.total_bytes = std::min(memory.total_bytes, *limit);
    memory.available_bytes = std::min(memory.available_bytes, *limit - std::min(*limit, kept));
  }
}

}  // namespace

Result<MachineMemory> read_machine_memory(const fs::path& root) {
  const fs::path meminfo = root / "proc/meminfo";
  const auto total_kib = find_number(meminfo, "MemTotal:");
  const auto available_kib = find_number(meminfo, "MemAvailable:");
  if (!total_kib || !available_kib) {
    return Error{ErrorCode::kIo, meminfo.string() + " does not state MemTotal and MemAvailable"};
  }
  MachineMemory memory{.total_bytes = *total_kib * 1024, .available_bytes = *available_kib * 1024};
  apply_group_limits(root, memory);
  return memory;
}

uint64_t read_process_anonymous_bytes(const fs::path& root) {
  return find_number(root / "proc/self/status", "RssAnon:").value_or(0) * 1024;
}

}  // namespace halod
