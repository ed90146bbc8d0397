// haloctl: halod from the command line.
#include <cstdio>
#include <exception>

#include "cli/command_line.h"
#include "cli/exit_status.h"

namespace halod::cli {
namespace {

int run(int argc, char** argv) {
  CLI::App app{"haloctl: look after a halod server and talk to its models", "haloctl"};
  CommandLine line;
  declare_commands(app, line);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kSuccess : kUsage;
  }
  return line.command();
}

}  // namespace
}  // namespace halod::cli

int main(int argc, char** argv) {
  try {
    return halod::cli::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "haloctl: %s\n", error.what());
    return halod::cli::kUnreachable;
  }
}
