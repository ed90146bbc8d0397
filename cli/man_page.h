// haloctl(1), written from the command line's own tree.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "cli/command_tree.h"

namespace halod::cli {

/// Source for man(7) macros.
std::string man_page(const CommandDoc& root, const std::string& version);

/// `haloctl man-page`. Returns an ExitStatus.
int print_man_page(const CLI::App& app);

}  // namespace halod::cli
