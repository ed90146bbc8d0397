#include "cli/migrate/migrate.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "cli/exit_status.h"
#include "cli/migrate/llama_swap.h"
#include "cli/migrate/ollama.h"

namespace halod::cli {
namespace {

Result<Migration> read_llama_swap(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  if (!stream.is_open() || stream.bad())
    return Error{ErrorCode::kIo, fmt::format("{} cannot be read: {}", path, std::strerror(errno))};
  return migrate_llama_swap(text, path);
}

Result<Migration> read_ollama(const std::string& path) {
  return migrate_ollama(path.empty() ? usual_ollama_folder() : std::filesystem::path(path));
}

}  // namespace

int run_migrate(const MigrateFlags& flags) {
  const bool is_ollama = flags.source == "ollama";
  if (!is_ollama && flags.path.empty()) {
    fmt::print(stderr,
               "haloctl: migrate llama-swap needs its configuration: haloctl migrate llama-swap FILE\n");
    return kUsage;
  }
  const auto migration = is_ollama ? read_ollama(flags.path) : read_llama_swap(flags.path);
  if (!migration) {
    fmt::print(stderr, "haloctl: {}\n", migration.error().message);
    return kCannotRun;
  }
  fmt::print("{}", to_yaml(*migration));
  return kSuccess;
}

}  // namespace halod::cli
