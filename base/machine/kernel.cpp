#include "base/machine/kernel.h"

#include <charconv>

#include "base/machine/text_file.h"

namespace halod {
namespace {

std::string without_quotes(std::string text) {
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') return text.substr(1, text.size() - 2);
  return text;
}

}  // namespace

std::optional<KernelVersion> parse_kernel_version(std::string_view release) {
  KernelVersion version;
  const char* const end = release.data() + release.size();
  const char* at = release.data();
  uint32_t* const parts[] = {&version.major, &version.minor, &version.patch};
  for (size_t i = 0; i < 3; ++i) {
    const auto [next, error] = std::from_chars(at, end, *parts[i]);
    if (error != std::errc()) return i < 2 ? std::nullopt : std::optional(version);
    if (next == end || *next != '.') return i < 1 ? std::nullopt : std::optional(version);
    at = next + 1;
  }
  return version;
}

std::optional<std::string> Kernel::argument(std::string_view name) const {
  std::optional<std::string> value;
  for (const std::string& argument : arguments) {
    if (argument == name) value = "";
    if (argument.starts_with(name) && argument.size() > name.size() && argument[name.size()] == '=')
      value = argument.substr(name.size() + 1);
  }
  return value;
}

Kernel read_kernel(const std::filesystem::path& root) {
  Kernel kernel;
  kernel.release = read_line(root / "proc/sys/kernel/osrelease").value_or("");
  kernel.arguments = words_of(read_line(root / "proc/cmdline").value_or(""));
  const std::filesystem::path os_release = root / "etc/os-release";
  kernel.distribution = without_quotes(find_value(os_release, "PRETTY_NAME=").value_or(""));
  kernel.distribution_id = without_quotes(find_value(os_release, "ID=").value_or(""));
  std::error_code ignored;
  kernel.is_ostree = std::filesystem::exists(root / "run/ostree-booted", ignored);
  return kernel;
}

}  // namespace halod
