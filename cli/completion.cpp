#include "cli/completion.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "cli/command_line.h"
#include "cli/exit_status.h"

namespace halod::cli {
namespace {

constexpr const char* kModelNames = "haloctl models --names 2>/dev/null";

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

/// For a shell's single quotes.
std::string shell_quoted(const std::string& text) { return "'" + replaced(text, "'", "'\\''") + "'"; }

bool takes_folders(const OptionDoc& option) { return option.value == "DIR"; }
bool takes_files(const OptionDoc& option) { return option.value == "FILE"; }

/// Global options may stand anywhere.
std::vector<OptionDoc> options_of(const CommandDoc& root, const CommandDoc& command) {
  std::vector<OptionDoc> options = command.options;
  for (const OptionDoc& option : root.options) {
    const bool is_known =
        std::ranges::any_of(options, [&](const OptionDoc& own) { return own.names == option.names; });
    if (!is_known) options.push_back(option);
  }
  return options;
}

// ---- bash

/// The `compgen` arguments for a value.
std::string bash_values(const OptionDoc& option) {
  if (!option.values.empty())
    return fmt::format("-W {}", shell_quoted(fmt::format("{}", fmt::join(option.values, " "))));
  if (option.value == kModelType) return fmt::format("-W \"$({})\"", kModelNames);
  if (takes_files(option)) return "-f";
  return takes_folders(option) ? "-d" : "-W ''";
}

std::string bash_reply(const std::string& arguments) {
  return fmt::format("COMPREPLY=($(compgen {} -- \"$cur\"))", arguments);
}

/// Lines of a `case "$prev"` over the options that take a value.
std::string bash_option_cases(const std::vector<OptionDoc>& options) {
  std::string text;
  for (const OptionDoc& option : options) {
    if (!option.value.empty())
      text += fmt::format("        {}) {}; return ;;\n", fmt::join(option.names, "|"),
                          bash_reply(bash_values(option)));
  }
  return text;
}

std::string bash_names(const std::vector<OptionDoc>& options) {
  std::vector<std::string> names;
  for (const OptionDoc& option : options) names.insert(names.end(), option.names.begin(), option.names.end());
  return fmt::format("{}", fmt::join(names, " "));
}

std::vector<std::string> command_names(const CommandDoc& root) {
  std::vector<std::string> names;
  for (const CommandDoc& command : root.commands) names.push_back(command.name);
  return names;
}

// ---- zsh

/// Inside of an _arguments specification: brackets and colons mean something there.
std::string zsh_text(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::string zsh_action(const OptionDoc& option) {
  if (!option.values.empty()) return fmt::format("({})", fmt::join(option.values, " "));
  if (option.value == kModelType) return "_haloctl_models";
  if (takes_files(option)) return "_files";
  return takes_folders(option) ? "_files -/" : "";
}

std::string zsh_specs(const std::vector<OptionDoc>& options) {
  std::string text;
  for (const OptionDoc& option : options) {
    for (const std::string& name : option.names) {
      std::string spec = fmt::format("{}[{}]", name, zsh_text(option.description));
      if (!option.value.empty()) spec += fmt::format(":{}:{}", zsh_text(option.value), zsh_action(option));
      text += fmt::format(" \\\n        {}", shell_quoted(spec));
    }
  }
  return text;
}

std::string zsh_arguments(const CommandDoc& command) {
  std::string text;
  for (const OptionDoc& argument : command.arguments) {
    text += fmt::format(" \\\n        {}",
                        shell_quoted(fmt::format("{}:{}:{}", argument.required ? "" : ":",
                                                 zsh_text(argument.names.front()), zsh_action(argument))));
  }
  return text;
}

// ---- fish

std::string fish_values(const OptionDoc& option) {
  if (!option.values.empty())
    return fmt::format(" -xa {}", shell_quoted(fmt::format("{}", fmt::join(option.values, " "))));
  if (option.value == kModelType)
    return fmt::format(" -xa {}", shell_quoted(fmt::format("({})", kModelNames)));
  if (takes_files(option)) return " -rF";
  return takes_folders(option) ? " -xa '(__fish_complete_directories)'" : " -x";
}

std::string fish_options(const std::string& condition, const std::vector<OptionDoc>& options) {
  std::string text;
  for (const OptionDoc& option : options) {
    text += "complete -c haloctl" + condition;
    for (const std::string& name : option.names)
      text += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
    text += fmt::format(" -d {}{}\n", shell_quoted(option.description),
                        option.value.empty() ? "" : fish_values(option));
  }
  return text;
}

}  // namespace

std::string bash_completion(const CommandDoc& root) {
  std::string cases;
  for (const CommandDoc& command : root.commands) {
    const auto options = options_of(root, command);
    cases += fmt::format("    {})\n      case \"$prev\" in\n{}      esac\n", command.name,
                         bash_option_cases(options));
    cases += fmt::format("      case \"$cur\" in\n        -*) {}; return ;;\n      esac\n",
                         bash_reply("-W " + shell_quoted(bash_names(options))));
    if (!command.arguments.empty())
      cases += fmt::format("      {}\n", bash_reply(bash_values(command.arguments.front())));
    cases += "      ;;\n";
  }
  return fmt::format(R"script(# bash completion for haloctl, generated by `haloctl completion bash`
_haloctl() {{
  local cur prev command word
  cur=${{COMP_WORDS[COMP_CWORD]}}
  prev=${{COMP_WORDS[COMP_CWORD - 1]}}
  COMPREPLY=()
  command=
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD - 1}}"; do
    case "$word" in
      {}) command=$word; break ;;
    esac
  done
  case "$command" in
{}    *)
      case "$prev" in
{}      esac
      {}
      ;;
  esac
}}
complete -F _haloctl haloctl
)script",
                     fmt::join(command_names(root), "|"), cases, bash_option_cases(root.options),
                     bash_reply("-W " + shell_quoted(fmt::format("{} {}", fmt::join(command_names(root), " "),
                                                                 bash_names(root.options)))));
}

std::string zsh_completion(const CommandDoc& root) {
  std::string descriptions, cases;
  for (const CommandDoc& command : root.commands) {
    descriptions += fmt::format("    {}\n", shell_quoted(command.name + ":" + command.description));
    cases += fmt::format("    {})\n      _arguments{}{}\n      ;;\n", command.name,
                         zsh_specs(options_of(root, command)), zsh_arguments(command));
  }
  return fmt::format(R"script(#compdef haloctl
# zsh completion for haloctl, generated by `haloctl completion zsh`
_haloctl_models() {{
  local -a names
  names=(${{(f)"$({})"}})
  compadd -a names
}}
_haloctl_commands() {{
  local -a commands
  commands=(
{}  )
  _describe command commands
}}
_haloctl() {{
  local curcontext=$curcontext state line
  _arguments -C{} \
        '1:command:_haloctl_commands' \
        '*::argument:->argument'
  [[ $state == argument ]] || return
  case $line[1] in
{}  esac
}}
if [[ $funcstack[1] == _haloctl ]]; then
  _haloctl "$@"
else
  compdef _haloctl haloctl
fi
)script",
                     kModelNames, descriptions, zsh_specs(root.options), cases);
}

std::string fish_completion(const CommandDoc& root) {
  const std::string names = fmt::format("{}", fmt::join(command_names(root), " "));
  std::string text =
      "# fish completion for haloctl, generated by `haloctl completion fish`\ncomplete -c haloctl -f\n";
  text += fish_options("", root.options);
  for (const CommandDoc& command : root.commands) {
    text += fmt::format("complete -c haloctl -n {} -a {} -d {}\n",
                        shell_quoted("not __fish_seen_subcommand_from " + names), command.name,
                        shell_quoted(command.description));
    const std::string condition =
        fmt::format(" -n {}", shell_quoted("__fish_seen_subcommand_from " + command.name));
    // Those of the root are there already.
    std::vector<OptionDoc> own;
    for (const OptionDoc& option : command.options) {
      if (std::ranges::none_of(root.options,
                               [&](const OptionDoc& known) { return known.names == option.names; }))
        own.push_back(option);
    }
    text += fish_options(condition, own);
    for (const OptionDoc& argument : command.arguments) {
      const std::string values = fish_values(argument);
      if (values != " -x") text += "complete -c haloctl" + condition + values + "\n";
    }
  }
  return text;
}

int print_completion(const CLI::App& app, const std::string& shell) {
  const CommandDoc root = describe(app);
  fmt::print("{}", shell == "bash"  ? bash_completion(root)
                   : shell == "zsh" ? zsh_completion(root)
                                    : fish_completion(root));
  return kSuccess;
}

}  // namespace halod::cli
