#include "base/machine/cpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "base/machine/control_group.h"
#include "base/machine/text_file.h"

namespace halod {
namespace {

namespace fs = std::filesystem;

/// Of the kernel's lists, "0-3,8,10-11". Ends at what is none of it.
std::vector<int> parse_cpu_list(std::string_view text) {
  constexpr uint64_t kMost = 1 << 16;  // more than any kernel numbers
  std::vector<int> cpus;
  while (!text.empty()) {
    const size_t length = std::min(text.find(','), text.size());
    const std::string_view range = text.substr(0, length);
    const auto first = parse_number(range);
    const size_t dash = range.find('-');
    const auto last = dash == std::string_view::npos ? first : parse_number(range.substr(dash + 1));
    if (!first || !last || *last >= kMost) break;
    for (uint64_t cpu = *first; cpu <= *last; ++cpu) cpus.push_back(static_cast<int>(cpu));
    text.remove_prefix(std::min(length + 1, text.size()));
  }
  return cpus;
}

/// The first hardware thread of the core that `cpu` is one of.
int first_thread_of(const fs::path& root, int cpu) {
  const auto siblings =
      read_line(root / fmt::format("sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", cpu));
  const std::vector<int> threads = parse_cpu_list(siblings.value_or(""));
  return threads.empty() ? cpu : threads.front();
}

std::optional<double> read_quota(const fs::path& root) {
  std::optional<double> tightest;
  for (const fs::path& group : control_group_folders(root)) {
    const std::vector<std::string> words = words_of(read_line(group / "cpu.max").value_or(""));
    if (words.size() != 2) continue;
    const auto time = parse_number(words[0]), period = parse_number(words[1]);
    if (!time || !period || *period == 0) continue;  // "max": no limit
    const double quota = static_cast<double>(*time) / static_cast<double>(*period);
    tightest = std::min(tightest.value_or(quota), quota);
  }
  return tightest;
}

}  // namespace

int AllowedCpus::n_threads() const {
  const auto n_cores = std::max<int>(1, static_cast<int>(cores.size()));
  return quota ? std::clamp(static_cast<int>(std::floor(*quota)), 1, n_cores) : n_cores;
}

AllowedCpus read_allowed_cpus(const fs::path& root) {
  std::map<int, CoreThreads> cores;
  const auto allowed = find_value(root / "proc/self/status", "Cpus_allowed_list:");
  for (const int cpu : parse_cpu_list(allowed.value_or(""))) cores[first_thread_of(root, cpu)].push_back(cpu);
  AllowedCpus cpus{.quota = read_quota(root)};
  for (auto& [first, core] : cores) cpus.cores.push_back(std::move(core));
  return cpus;
}

}  // namespace halod
