// The command line as data: what the manual page and the completion scripts are written from.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace halod::cli {

/// An option ("--policy"), a flag ("--json") or an argument ("model").
struct OptionDoc {
  std::vector<std::string> names;  ///< "--policy", or "-h", "--help"; of an argument, its bare name
  std::string description;
  std::string value;                ///< what it takes: "MODEL", "TEXT"; empty for a flag
  std::vector<std::string> values;  ///< when only these are taken
  std::string default_value;
  std::string environment;  ///< the variable that it is read from too
  bool required = false;

  bool is_argument() const { return names.front().front() != '-'; }
};

struct CommandDoc {
  std::string name;
  std::string description;
  std::vector<OptionDoc> options;
  std::vector<OptionDoc> arguments;
  std::vector<CommandDoc> commands;
};

/// Without what is hidden (an empty group). Thread: any.
CommandDoc describe(const CLI::App& app);

}  // namespace halod::cli
