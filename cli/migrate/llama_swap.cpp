#include "cli/migrate/llama_swap.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "cli/migrate/server_command.h"

namespace halod::cli {
namespace {

using Macros = std::map<std::string, std::string>;

/// About processes that are no more, or about llama-swap itself.
const std::set<std::string> kSettingsNotNeeded = {"proxy",
                                                  "checkEndpoint",
                                                  "cmdStop",
                                                  "name",
                                                  "description",
                                                  "useModelName",
                                                  "metadata",
                                                  "macros",
                                                  "logLevel",
                                                  "logRequests",
                                                  "startPort",
                                                  "metricsMaxInMemory",
                                                  "models",
                                                  "groups",
                                                  "hooks",
                                                  "healthCheckTimeout",
                                                  "logTimeFormat",
                                                  "logToStdout",
                                                  "cmd",
                                                  "aliases",
                                                  "ttl",
                                                  "captureBuffer",
                                                  "sendLoadingState"};

/// Null where there is none: yaml-cpp's own answer throws when it is looked at.
YAML::Node child(const YAML::Node& map, const char* key) {
  const YAML::Node found = map.IsMap() ? map[key] : YAML::Node();
  return found.IsDefined() ? found : YAML::Node();
}

std::string text_of(const YAML::Node& node) { return node.IsScalar() ? node.Scalar() : ""; }

std::vector<std::string> texts_of(const YAML::Node& node) {
  std::vector<std::string> texts;
  if (node.IsScalar()) texts.push_back(node.Scalar());
  if (node.IsSequence()) {
    for (const auto& item : node) texts.push_back(text_of(item));
  }
  return texts;
}

uint64_t seconds_of(const YAML::Node& node) {
  const int64_t seconds = node.IsScalar() ? node.as<int64_t>(0) : 0;
  return static_cast<uint64_t>(std::max<int64_t>(0, seconds));
}

void read_macros(const YAML::Node& node, Macros& macros) {
  if (node.IsSequence()) {
    for (const auto& item : node) read_macros(item, macros);
  } else if (node.IsMap()) {
    for (const auto& item : node) macros[text_of(item.first)] = text_of(item.second);
  }
}

/// A macro may name others; after a few rounds they go in circles.
std::string expanded(std::string text, const Macros& macros) {
  constexpr int kRounds = 8;
  for (int round = 0; round < kRounds; ++round) {
    const std::string before = text;
    for (const auto& [name, value] : macros) {
      const std::string pattern = "${" + name + "}";
      for (size_t at = 0; (at = text.find(pattern, at)) != std::string::npos; at += value.size())
        text.replace(at, pattern.size(), value);
    }
    if (text == before) break;
  }
  return text;
}

/// Before macros are put in, which may be more than a line.
std::string without_comment_lines(const std::string& text) {
  std::string kept;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size() - 1) + 1;
    const size_t first = text.find_first_not_of(" \t", begin);
    if (first == std::string::npos || text[first] != '#') kept.append(text, begin, end - begin);
    begin = end;
  }
  return kept;
}

void note_unknown_keys(const YAML::Node& map, std::vector<std::string>& notes) {
  for (const auto& item : map) {
    const std::string key = text_of(item.first);
    if (kSettingsNotNeeded.contains(key)) continue;
    if (key == "filters") {
      notes.emplace_back("no equivalent: filters; a request's own sampling is taken as it is");
    } else if (key == "concurrencyLimit") {
      notes.push_back(fmt::format("concurrencyLimit was {}: limits.max_requests is for all models",
                                  text_of(item.second)));
    } else if (key == "apiKeys") {
      notes.emplace_back("apiKeys: put the keys into a file for http.api_keys_file");
    } else if (key == "globalTTL") {
      notes.push_back(fmt::format("globalTTL was {}: models.time_to_live is that", text_of(item.second)));
    } else {
      notes.push_back(fmt::format("no equivalent: {}", key));
    }
  }
}

Result<MigratedModel> read_model(const std::string& name, const YAML::Node& node, Macros macros,
                                 std::string_view file_name) {
  const auto wrong = [&](std::string_view what) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("{}:{}: model {}: {}", file_name, node.Mark().line + 1, name, what)};
  };
  if (!node.IsMap()) return wrong("it has no keys, such as cmd");
  MigratedModel model{.name = name};
  read_macros(child(node, "macros"), macros);
  macros["MODEL_ID"] = name;
  const auto words = split_command(expanded(without_comment_lines(text_of(child(node, "cmd"))), macros));
  if (!words) return wrong(words.error().message);
  model.aliases = texts_of(child(node, "aliases"));
  read_server_command(*words, model);
  model.time_to_live_s = seconds_of(child(node, "ttl"));
  note_unknown_keys(node, model.notes);
  return model;
}

void read_groups(const YAML::Node& groups, Migration& migration) {
  for (const auto& item : groups) {
    if (!item.second.IsMap()) continue;
    const std::vector<std::string> members = texts_of(child(item.second, "members"));
    if (text_of(child(item.second, "persistent")) == "true") {
      for (MigratedModel& model : migration.models)
        model.pinned |= std::ranges::find(members, model.name) != members.end();
    }
    if (text_of(child(item.second, "swap")) != "false") {
      migration.notes.push_back(fmt::format(
          "group {} had one of its models at a time ({}): halod keeps as many as fit, unless you set "
          "models.max_resident: 1",
          text_of(item.first), fmt::join(members, ", ")));
    }
  }
}

void read_preload(const YAML::Node& hooks, Migration& migration) {
  for (const std::string& name : texts_of(child(child(hooks, "on_startup"), "preload"))) {
    const auto model = std::ranges::find_if(migration.models, [&](const MigratedModel& one) {
      return one.name == name || std::ranges::find(one.aliases, name) != one.aliases.end();
    });
    if (model == migration.models.end() || model->path.empty()) {
      migration.notes.push_back(fmt::format("{} was loaded at the start, and is not here", name));
    } else if (migration.default_model.empty()) {
      migration.default_model = model->name;
    } else {
      migration.notes.push_back(fmt::format("{} was loaded at the start too: haloctl load {}", name, name));
    }
  }
}

Result<Migration> read_document(const YAML::Node& root, std::string_view file_name) {
  const YAML::Node models = child(root, "models");
  if (!models.IsMap())
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("{} is no configuration of llama-swap: it has no models", file_name)};
  Migration migration{.source = fmt::format("llama-swap's {}", file_name)};
  Macros macros;
  read_macros(child(root, "macros"), macros);
  for (const auto& item : models) {
    auto model = read_model(text_of(item.first), item.second, macros, file_name);
    if (!model) return model.error();
    migration.models.push_back(std::move(*model));
  }
  migration.wait_timeout_s = seconds_of(child(root, "healthCheckTimeout"));
  if (child(root, "groups").IsMap()) read_groups(child(root, "groups"), migration);
  read_preload(child(root, "hooks"), migration);
  note_unknown_keys(root, migration.notes);
  return migration;
}

}  // namespace

Result<Migration> migrate_llama_swap(std::string_view yaml, std::string_view file_name) {
  try {
    return read_document(YAML::Load(std::string(yaml)), file_name);
  } catch (const YAML::Exception& exception) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("{}:{}: {}", file_name, exception.mark.line + 1, exception.msg)};
  }
}

}  // namespace halod::cli
