// halo-bench: windows into the runtime library, and the measurements.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "base/log.h"
#include "bench/command.h"

int main(int argc, char** argv) {
  CLI::App app{"halo-bench: measure and look into the halod runtime", "halo-bench"};
  app.require_subcommand(1);
  app.set_version_flag("--version", HALOD_VERSION);
  halod::bench::add_speed_command(app);
  halod::bench::add_bandwidth_command(app);
  halod::bench::add_kernels_command(app);
  halod::bench::add_predict_command(app);
  halod::bench::add_selftest_command(app);
  halod::bench::add_tune_command(app);
  halod::bench::add_inspect_command(app);
  halod::bench::add_logits_command(app);
  halod::bench::add_generate_command(app);
  halod::bench::add_synth_command(app);
  halod::bench::add_tokenize_command(app);
  halod::bench::add_render_command(app);
  try {
    halod::set_up_logging("halo-bench", "warning").value();
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "halo-bench: %s\n", error.what());
    return 1;
  }
}
