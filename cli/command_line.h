// haloctl's commands, options and arguments: the tree that parses the command line, and that the help, the
// manual page and the shells' completion are made from.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "cli/choose_server.h"
#include "cli/commands.h"
#include "cli/doctor/doctor.h"
#include "cli/inspect/inspect.h"
#include "cli/migrate/migrate.h"
#include "cli/pull/pull.h"
#include "cli/tune/tune.h"

namespace halod::cli {

/// Values that name a model carry this type name; completion asks the server for the names.
inline constexpr const char* kModelType = "MODEL";

/// What was asked for. Parsing fills it.
struct CommandLine {
  ServerChoice server;
  bool json = false;
  ChatFlags chat;
  CompleteFlags complete;
  JobOrder job;
  bool no_wait = false;  ///< for the job
  DoctorFlags doctor;
  InspectFlags inspect;
  MigrateFlags migrate;
  PullFlags pull;
  TuneFlags tune;
  bool no_rescan = false;  ///< after the pull
  std::string log_level;
  std::string shell;
  uint32_t job_id = 0;
  bool names_only = false;
  std::function<int()> command;  ///< of the subcommand that was given; connects where it needs a server
};

/// Puts everything into `app`. `line` outlives `app`.
void declare_commands(CLI::App& app, CommandLine& line);

}  // namespace halod::cli
