#include "cli/command_tree.h"

#include <fmt/format.h>
#include <algorithm>

namespace halod::cli {
namespace {

/// CLI11 writes "TEXT:{drain,pause}" for what CLI::IsMember checks.
std::vector<std::string> values_in(const std::string& type_name) {
  const size_t open = type_name.find('{'), close = type_name.rfind('}');
  if (open == std::string::npos || close == std::string::npos || close < open) return {};
  std::vector<std::string> values;
  size_t begin = open + 1;
  for (size_t end = 0; begin <= close; begin = end + 1) {
    end = std::min(type_name.find(',', begin), close);
    values.push_back(type_name.substr(begin, end - begin));
  }
  return values;
}

OptionDoc describe(const CLI::Option& option) {
  OptionDoc doc;
  doc.description = option.get_description();
  doc.default_value = option.get_default_str();
  doc.environment = option.get_envname();
  doc.required = option.get_required();
  for (const std::string& name : option.get_snames()) doc.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) doc.names.push_back("--" + name);
  if (doc.names.empty()) doc.names.push_back(option.get_name());
  // A flag takes no items; --help and --version are such.
  if (option.get_items_expected_max() > 0) {
    const std::string type = option.get_type_name();
    doc.value = type.substr(0, type.find(':'));
    doc.values = values_in(type);
  }
  return doc;
}

}  // namespace

CommandDoc describe(const CLI::App& app) {
  CommandDoc doc{.name = app.get_name(), .description = app.get_description()};
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_group().empty()) continue;
    OptionDoc described = describe(*option);
    (described.is_argument() ? doc.arguments : doc.options).push_back(std::move(described));
  }
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (!command->get_group().empty()) doc.commands.push_back(describe(*command));
  }
  return doc;
}

}  // namespace halod::cli
