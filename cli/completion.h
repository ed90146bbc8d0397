// Completion scripts for shells, written from the command line's own tree.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "cli/command_tree.h"

namespace halod::cli {

// Each returns a whole script. Values that name a model are asked of the server, by `haloctl models --names`.
std::string bash_completion(const CommandDoc& root);
std::string zsh_completion(const CommandDoc& root);
std::string fish_completion(const CommandDoc& root);

/// `haloctl completion SHELL`: bash, zsh or fish. Returns an ExitStatus.
int print_completion(const CLI::App& app, const std::string& shell);

}  // namespace halod::cli
