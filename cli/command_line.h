// haloctl's commands, options and arguments: the tree that parses the command line, and that the help, the
// manual page and the shells' completion are made from.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "cli/api_client.h"
#include "cli/commands.h"
#include "cli/doctor/doctor.h"

namespace halod::cli {

/// Values that name a model carry this type name; completion asks the server for the names.
inline constexpr const char* kModelType = "MODEL";

/// What was asked for. Parsing fills it.
struct CommandLine {
  Server server{.url = "http://127.0.0.1:8000", .api_key = ""};
  bool json = false;
  ChatFlags chat;
  CompleteFlags complete;
  JobFlags job;
  DoctorFlags doctor;
  std::string log_level;
  std::string shell;
  uint32_t job_id = 0;
  bool names_only = false;
  std::function<int(const ApiClient&)> command;  ///< of the subcommand that was given
};

/// Puts everything into `app`. `line` outlives `app`.
void declare_commands(CLI::App& app, CommandLine& line);

}  // namespace halod::cli
