// halo-engine: the process that owns the device. Started by halod, which talks to it over the socket given by
// --fd.
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "base/log.h"
#include "runtime/engine/engine_server.h"

namespace {

bool is_socket(int fd) {
  struct stat status {};
  return fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
}

/// The engine lives exactly as long as its parent and its socket. A terminal's Ctrl-C and a service manager's
/// SIGTERM reach the whole group; what they mean is halod's to decide, which may want to finish its answers
/// first.
void tie_to_parent() {
  prctl(PR_SET_NAME, "halo-engine");
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  signal(SIGINT, SIG_IGN);
  signal(SIGTERM, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"halo-engine: runs a model for halod, which starts it; it is of no use by hand",
               "halo-engine"};
  app.set_version_flag("--version", HALOD_VERSION);
  int fd = -1;
  std::string log_level = "info";
  app.add_option("--fd", fd, "Number of the open socket that halod talks through")->required();
  app.add_option("--log-level", log_level, "trace, debug, info, warning, error or critical");
  CLI11_PARSE(app, argc, argv);
  try {
    halod::set_up_logging("halo-engine", log_level).value();
    if (!is_socket(fd)) {
      std::fprintf(stderr,
                   "halo-engine: --fd %d is not an open socket; halod passes one when it starts the engine\n",
                   fd);
      return 1;
    }
    tie_to_parent();
    halod::EngineServer server(fd, halod::load_model_for_serving);
    const halod::EngineExit exit = server.run();
    spdlog::default_logger()->flush();
    // At once: a step or a load may still be going on, and nobody is left to want its result.
    std::_Exit(static_cast<int>(exit));
  } catch (const std::exception& exception) {
    std::fprintf(stderr, "halo-engine: %s\n", exception.what());
    return 1;
  }
}
