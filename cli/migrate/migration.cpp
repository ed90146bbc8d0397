#include "cli/migrate/migration.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <utility>

namespace halod::cli {
namespace {

constexpr uint64_t kMaxTimeToLive = 30ULL * 24 * 3600;
constexpr uint64_t kMaxWait = 3600;
constexpr uint64_t kMaxContext = 16 << 20;
constexpr uint64_t kMaxSequences = 4096;

/// As YAML has it; in quotes where it would be something else without.
std::string scalar(const std::string& text) {
  YAML::Emitter emitter;
  // Numbers and the words of YAML's own types would be something else to other readers of the file.
  const bool is_word = std::ranges::all_of(text, [](char c) {
    const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return is_letter || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-' || c == '/';
  });
  const bool is_plain = is_word && text.find_first_not_of("0123456789.-") != std::string::npos &&
                        text != "null" && text != "true" && text != "false" && text != "yes" && text != "no";
  if (!is_plain) emitter << YAML::DoubleQuoted;
  emitter << text;
  return emitter.c_str();
}

/// Nothing of another file may end the comment.
std::string comment(const std::string& indent, const std::string& text) {
  std::string line = indent + "# ";
  for (const char c : text) line += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  return line + "\n";
}

void bring_into_range(uint64_t& value, uint64_t max, const char* what, std::vector<std::string>& notes) {
  if (value <= max) return;
  notes.push_back(fmt::format("{} was {}; halod takes {} at most", what, value, max));
  value = max;
}

std::string list_entry(MigratedModel model) {
  bring_into_range(model.time_to_live_s, kMaxTimeToLive, "time_to_live in seconds", model.notes);
  bring_into_range(model.context_length, kMaxContext, "context_length", model.notes);
  bring_into_range(model.max_sequences, kMaxSequences, "max_sequences", model.notes);
  const bool is_comment = model.path.empty();
  std::string text;
  if (is_comment) {
    text += comment("    ", fmt::format("{}: not taken over", model.name));
  } else {
    text += fmt::format("    - path: {}\n      name: {}\n", scalar(model.path), scalar(model.name));
    if (!model.aliases.empty()) {
      text += "      aliases: [";
      for (const std::string& alias : model.aliases)
        text += (&alias == model.aliases.data() ? "" : ", ") + scalar(alias);
      text += "]\n";
    }
    if (!model.chat_template_file.empty())
      text += fmt::format("      chat_template_file: {}\n", scalar(model.chat_template_file));
    if (model.pinned) text += "      pinned: true\n";
    if (model.time_to_live_s) text += fmt::format("      time_to_live: {}s\n", model.time_to_live_s);
    if (model.context_length) text += fmt::format("      context_length: {}\n", model.context_length);
    if (model.max_sequences) text += fmt::format("      max_sequences: {}\n", model.max_sequences);
  }
  for (const auto& [key, value] : model.defaults)
    model.notes.push_back(
        fmt::format("{}: {} was this model's own; halod has `defaults` for all models, and what requests say",
                    key, value));
  for (const std::string& note : model.notes) text += comment("      ", note);
  return text;
}

/// Takes what all models agree on out of them.
std::map<std::string, std::string> common_defaults(std::vector<MigratedModel>& models) {
  std::map<std::string, std::string> common;
  std::vector<MigratedModel*> taken;
  for (MigratedModel& model : models) {
    if (!model.path.empty()) taken.push_back(&model);
  }
  if (taken.empty()) return common;
  for (const auto& [key, value] : taken.front()->defaults) {
    const bool agreed = std::ranges::all_of(taken, [&](const MigratedModel* model) {
      const auto found = model->defaults.find(key);
      return found != model->defaults.end() && found->second == value;
    });
    if (agreed) common.emplace(key, value);
  }
  for (MigratedModel* model : taken) {
    for (const auto& [key, value] : common) model->defaults.erase(key);
  }
  return common;
}

}  // namespace

std::string to_yaml(Migration migration) {
  bring_into_range(migration.wait_timeout_s, kMaxWait, "wait_timeout in seconds", migration.notes);
  const std::map<std::string, std::string> defaults = common_defaults(migration.models);
  std::string text =
      comment("", fmt::format("From {}, by haloctl migrate. Check it: halod --check-config --config FILE",
                              migration.source));
  text += comment(
      "", "Models must be readable by the user halod: haloctl inspect FILE says whether one runs here.");
  for (const std::string& note : migration.notes) text += comment("", note);
  text += "models:\n";
  if (!migration.default_model.empty())
    text += fmt::format("  default: {}\n", scalar(migration.default_model));
  if (migration.wait_timeout_s) text += fmt::format("  wait_timeout: {}s\n", migration.wait_timeout_s);
  text += "  list:\n";
  for (MigratedModel& model : migration.models) text += list_entry(std::move(model));
  if (migration.models.empty()) text += comment("    ", "there were no models");
  if (!defaults.empty()) text += "defaults:\n";
  for (const auto& [key, value] : defaults) text += fmt::format("  {}: {}\n", key, value);
  return text;
}

}  // namespace halod::cli
