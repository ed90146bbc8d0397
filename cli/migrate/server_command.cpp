#include "cli/migrate/server_command.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <optional>
#include <span>

namespace halod::cli {
namespace {

enum class Meaning : uint8_t {
  kModel,
  kHubModel,
  kContext,
  kParallel,
  kAlias,
  kTemplate,
  kDefault,   ///< a key of `defaults`
  kNotNeeded  ///< halod does it by itself, or it is about the process that is no more
};

struct Flag {
  std::array<std::string_view, 3> names;
  Meaning meaning;
  std::string_view key = {};  ///< for kDefault
};

constexpr auto kFlags = std::to_array<Flag>({
    {{"-m", "--model"}, Meaning::kModel},
    {{"-hf", "-hfr", "--hf-repo"}, Meaning::kHubModel},
    {{"-c", "--ctx-size"}, Meaning::kContext},
    {{"-np", "--parallel"}, Meaning::kParallel},
    {{"-a", "--alias"}, Meaning::kAlias},
    {{"--chat-template-file"}, Meaning::kTemplate},
    {{"--temp", "--temperature"}, Meaning::kDefault, "temperature"},
    {{"--top-p"}, Meaning::kDefault, "top_p"},
    {{"--top-k"}, Meaning::kDefault, "top_k"},
    {{"--min-p"}, Meaning::kDefault, "min_p"},
    {{"--repeat-penalty"}, Meaning::kDefault, "repetition_penalty"},
    {{"--presence-penalty"}, Meaning::kDefault, "presence_penalty"},
    {{"--frequency-penalty"}, Meaning::kDefault, "frequency_penalty"},
    {{"-n", "--predict", "--n-predict"}, Meaning::kDefault, "max_tokens"},
    {{"-ngl", "--gpu-layers", "--n-gpu-layers"}, Meaning::kNotNeeded},
    {{"-fa", "--flash-attn"}, Meaning::kNotNeeded},
    {{"--mmap", "--no-mmap", "--mlock"}, Meaning::kNotNeeded},
    {{"-b", "--batch-size"}, Meaning::kNotNeeded},
    {{"-ub", "--ubatch-size"}, Meaning::kNotNeeded},
    {{"-dio", "--direct-io", "--no-direct-io"}, Meaning::kNotNeeded},
    {{"--host", "--port"}, Meaning::kNotNeeded},
    {{"--jinja", "--metrics", "--slots"}, Meaning::kNotNeeded},
    {{"--props", "--no-webui", "--no-warmup"}, Meaning::kNotNeeded},
    {{"--no-slots", "--no-context-shift", "--reasoning-format"}, Meaning::kNotNeeded},
    {{"-cb", "--cont-batching"}, Meaning::kNotNeeded},
    {{"-dev", "--device"}, Meaning::kNotNeeded},
    {{"-sm", "--split-mode"}, Meaning::kNotNeeded},
    {{"-mg", "--main-gpu"}, Meaning::kNotNeeded},
    {{"-kvu", "--kv-unified"}, Meaning::kNotNeeded},
    {{"-v", "--verbose", "--log-disable"}, Meaning::kNotNeeded},
    {{"--log-file", "--log-colors", "-lv"}, Meaning::kNotNeeded},
});

const Flag* find_flag(std::string_view name) {
  const auto found = std::ranges::find_if(
      kFlags, [name](const Flag& flag) { return std::ranges::find(flag.names, name) != flag.names.end(); });
  return name.empty() || found == kFlags.end() ? nullptr : &*found;
}

std::optional<double> number(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

std::optional<uint64_t> count(const std::string& text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

bool is_flag(const std::string& word) { return word.size() > 1 && word.front() == '-' && !number(word); }

struct GivenFlag {
  std::string name;
  std::vector<std::string> values;

  std::string text() const {
    return values.empty() ? name : fmt::format("{} {}", name, fmt::join(values, " "));
  }
};

std::vector<GivenFlag> flags_in(std::span<const std::string> words) {
  std::vector<GivenFlag> flags;
  for (const std::string& word : words) {
    if (is_flag(word)) {
      const size_t equals = word.starts_with("--") ? word.find('=') : std::string::npos;
      flags.push_back({.name = word.substr(0, equals), .values = {}});
      if (equals != std::string::npos) flags.back().values.push_back(word.substr(equals + 1));
    } else if (flags.empty()) {
      flags.push_back({.name = word, .values = {}});
    } else {
      flags.back().values.push_back(word);
    }
  }
  return flags;
}

/// What several flags make together.
struct Sizes {
  uint64_t context = 0;
  uint64_t parallel = 0;
};

std::vector<std::string> split_at_commas(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t begin = 0, end = 0; end != std::string::npos; begin = end + 1) {
    end = text.find(',', begin);
    if (std::string part = text.substr(begin, end - begin); !part.empty()) parts.push_back(std::move(part));
  }
  return parts;
}

/// False: halod has no equivalent for it with this value.
bool take(const Flag& flag, const GivenFlag& given, Sizes& sizes, MigratedModel& model) {
  if (flag.meaning == Meaning::kNotNeeded) return true;
  if (given.values.size() != 1) return false;
  const std::string& value = given.values.front();
  switch (flag.meaning) {
    case Meaning::kModel:
      model.path = value;
      return true;
    case Meaning::kHubModel:
      model.notes.push_back(
          fmt::format("from a hub: haloctl pull {}, which serves it from models.directory", value));
      return true;
    case Meaning::kContext:
      sizes.context = count(value).value_or(0);
      return count(value).has_value();
    case Meaning::kParallel:
      sizes.parallel = count(value).value_or(0);
      return count(value).has_value();
    case Meaning::kAlias:
      for (std::string& alias : split_at_commas(value)) {
        if (alias != model.name && std::ranges::find(model.aliases, alias) == model.aliases.end())
          model.aliases.push_back(std::move(alias));
      }
      return true;
    case Meaning::kTemplate:
      model.chat_template_file = value;
      return true;
    case Meaning::kDefault:
      if (flag.key == "max_tokens" && value == "-1") return true;  // as many as fit, as here
      if (!number(value) ||
          (flag.key != "presence_penalty" && flag.key != "frequency_penalty" && *number(value) < 0))
        return false;
      model.defaults[std::string(flag.key)] = value;
      return true;
    case Meaning::kNotNeeded:
      break;
  }
  return true;
}

/// llama-server, a build of it with a name of its own, or an image of it.
bool is_server(const std::string& word) {
  return std::filesystem::path(word).filename().string().starts_with("llama-server") ||
         word.find("llama.cpp:server") != std::string::npos;
}

/// What a container had as its file is the host's by `-v HOST:CONTAINER`.
void take_path_out_of_container(std::span<const std::string> words, std::string& path) {
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    if (words[i] != "-v" && words[i] != "--volume") continue;
    const std::string& mapping = words[i + 1];
    const size_t colon = mapping.find(':');
    if (colon == std::string::npos) continue;
    const std::string inside = mapping.substr(colon + 1, mapping.find(':', colon + 1) - colon - 1);
    if (!inside.empty() && path.starts_with(inside + "/")) {
      path = mapping.substr(0, colon) + path.substr(inside.size());
      return;
    }
  }
}

}  // namespace

Result<std::vector<std::string>> split_command(std::string_view command) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false, line_begins = true;
  char quote = 0;
  for (size_t i = 0; i < command.size(); ++i) {
    const char c = command[i];
    if (quote) {
      if (c == quote) {
        quote = 0;
      } else if (c == '\\' && quote == '"' && i + 1 < command.size()) {
        word += command[++i];
      } else {
        word += c;
      }
      continue;
    }
    if (line_begins && c == '#') {
      i = std::min(command.find('\n', i), command.size());
      continue;
    }
    if (c == '\\' && i + 1 < command.size()) {
      if (command[++i] != '\n') {  // at a line's end it joins the next one
        word += command[i];
        in_word = true;
      }
    } else if (c == '\'' || c == '"') {
      quote = c;
      in_word = true;
    } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      if (in_word) words.push_back(std::move(word));
      word.clear();
      in_word = false;
      line_begins = c == '\n' || (line_begins && c != '\r');
      continue;
    } else {
      word += c;
      in_word = true;
    }
    line_begins = false;
  }
  if (quote)
    return Error{ErrorCode::kInvalidArgument, fmt::format("the command has a {} that is not closed", quote)};
  if (in_word) words.push_back(std::move(word));
  return words;
}

void read_server_command(const std::vector<std::string>& words, MigratedModel& model) {
  const auto program = std::ranges::find_if(words, is_server);
  if (program == words.end()) {
    model.notes.push_back(fmt::format("its command is no llama-server: {}", fmt::join(words, " ")));
    return;
  }
  if (program != words.begin())
    model.notes.push_back(fmt::format("no equivalent for what was before llama-server: {}",
                                      fmt::join(words.begin(), program, " ")));
  Sizes sizes;
  for (const GivenFlag& given :
       flags_in(std::span(words).subspan(static_cast<size_t>(program - words.begin()) + 1))) {
    const Flag* flag = find_flag(given.name);
    if (given.name == "--api-key") {
      model.notes.emplace_back("--api-key: put the key into a file for http.api_keys_file");
    } else if (!flag || !take(*flag, given, sizes, model)) {
      model.notes.push_back(fmt::format("no equivalent: {}", given.text()));
    }
  }
  // llama-server shares the context out between its slots.
  model.max_sequences = sizes.parallel;
  model.context_length = sizes.context / std::max<uint64_t>(1, sizes.parallel);
  take_path_out_of_container(std::span(words.begin(), program), model.path);
  if (model.path.empty()) model.notes.emplace_back("its command names no file (-m)");
}

}  // namespace halod::cli
