// halo-bench's subcommands: one file each, one line in main.cpp.
#pragma once

#include <CLI/CLI.hpp>

namespace halod::bench {

// Each adds its subcommand to `app`; the callback prints results on standard output and throws ErrorException
// on failure.
void add_bandwidth_command(CLI::App& app);
void add_generate_command(CLI::App& app);
void add_inspect_command(CLI::App& app);
void add_kernels_command(CLI::App& app);
void add_logits_command(CLI::App& app);
void add_predict_command(CLI::App& app);
void add_render_command(CLI::App& app);
void add_selftest_command(CLI::App& app);
void add_speed_command(CLI::App& app);
void add_synth_command(CLI::App& app);
void add_tokenize_command(CLI::App& app);
void add_tune_command(CLI::App& app);

}  // namespace halod::bench
