// halod: reads its flags and runs the daemon.
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <cstdio>
#include <exception>
#include <string>
#include <utility>
#include <variant>

#include "base/log.h"
#include "daemon/service/command_line.h"
#include "daemon/service/daemon.h"
#include "daemon/service/journal_sink.h"

namespace halod {
namespace {

/// A thousand connections need more descriptors than the usual soft limit gives.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

int run(int argc, char** argv) {
  auto outcome = read_command_line(argc, argv).value();
  if (const int* status = std::get_if<int>(&outcome)) return *status;
  const auto& command_line = std::get<CommandLine>(outcome);
  if (command_line.check_config) {
    const std::string file = command_line.config_file.string();
    for (const std::string& warning : command_line.config.warnings)
      std::fprintf(stderr, "warning: %s\n", warning.c_str());
    std::printf("%s: the configuration is right\n", file.empty() ? "defaults" : file.c_str());
    return 0;
  }
  set_up_logging("halod", command_line.config.log.level,
                 standard_error_is_journal() ? make_journal_sink("halod") : nullptr)
      .value();
  for (const std::string& warning : command_line.config.warnings) spdlog::warn("{}", warning);
  ::signal(SIGPIPE, SIG_IGN);
  raise_descriptor_limit();
  return Daemon(command_line).run();
}

}  // namespace
}  // namespace halod

int main(int argc, char** argv) {
  try {
    return halod::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "halod: %s\n", error.what());
    return 1;
  }
}
