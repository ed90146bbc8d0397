// Running another program for its output.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"

namespace halod::cli {

struct ProgramOutput {
  int status = 0;  ///< exit status, or 128 + the signal
  std::string out;
  std::string err;
};

/// Runs a program to its end; a name without a slash is looked for in PATH. Blocks. Errors: kIo when it
/// cannot be started, kUnavailable when it ran longer than `timeout` and was killed. Thread: any.
Result<ProgramOutput> run_program(const std::filesystem::path& program,
                                  const std::vector<std::string>& arguments, std::chrono::seconds timeout);

/// Runs a program on this one's own input and output; its exit status, or 128 + the signal. Blocks. Errors:
/// kIo when it cannot be started. Thread: any.
Result<int> run_program_here(const std::filesystem::path& program, const std::vector<std::string>& arguments);

/// The program of that name beside the running one. Empty when /proc is not mounted.
std::filesystem::path sibling_program(const std::string& name);

}  // namespace halod::cli
