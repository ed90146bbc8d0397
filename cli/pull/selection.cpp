#include "cli/pull/selection.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <numeric>

#include "cli/format.h"

namespace halod::cli {
namespace {

constexpr std::string_view kCheckpoint = "safetensors";
constexpr std::string_view kUsualQuantisation = "Q4_K_M";
constexpr std::string_view kGguf = ".gguf";

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), [](unsigned char c) { return std::tolower(c); });
  return result;
}

std::string_view file_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

/// "a-00001-of-00003" → "a"; any other stem as it is.
std::string_view without_part(std::string_view stem) {
  constexpr size_t kDigits = 5, kSuffix = 2 * kDigits + 5;  // "-00001-of-00003"
  if (stem.size() <= kSuffix) return stem;
  const std::string_view suffix = stem.substr(stem.size() - kSuffix);
  const bool is_part = suffix.front() == '-' && is_number(suffix.substr(1, kDigits)) &&
                       suffix.substr(1 + kDigits, 4) == "-of-" && is_number(suffix.substr(kDigits + 5));
  return is_part ? stem.substr(0, stem.size() - kSuffix) : stem;
}

/// Of a GGUF file: its path without the number of its part.
std::string model_name(std::string_view path) {
  return std::string(without_part(path.substr(0, path.size() - kGguf.size()))) + std::string(kGguf);
}

bool is_language_model(std::string_view path) {
  const std::string name = lower(file_name(path));
  return name.ends_with(kGguf) && !name.starts_with("mmproj") && !name.starts_with("imatrix") &&
         name.find("-mmproj") == std::string::npos;
}

/// Of the files beside the weights, those that say how to use them. Folders below are variants (onnx,
/// original).
bool belongs_to_checkpoint(std::string_view path) {
  static constexpr std::string_view kEndings[] = {".safetensors", ".json", ".jinja", ".model", ".txt"};
  if (path.find('/') != std::string_view::npos) return false;
  if (path.starts_with("consolidated")) return false;  // the same weights in another layout
  return std::ranges::any_of(kEndings, [&](std::string_view ending) { return path.ends_with(ending); });
}

/// Whether the model's name ends with `ending`, which begins after a separator: "q4_0" is not the end of
/// "iq4_0".
bool ends_with_word(std::string_view name, std::string_view ending) {
  const std::string stem = lower(name.substr(0, name.size() - kGguf.size()));
  const std::string wanted = lower(ending);
  if (!stem.ends_with(wanted)) return false;
  const size_t before = stem.size() - wanted.size();
  return before == 0 || std::string_view("-._/").find(stem[before - 1]) != std::string_view::npos;
}

bool is_meant(const ModelFiles& model, std::string_view selection) {
  if (selection == model.name || selection == file_name(model.name)) return true;
  const auto names = [&](const HubFile& file) {
    return file.path == selection || file_name(file.path) == selection;
  };
  if (model.name == kCheckpoint)
    return std::ranges::any_of(model.files, names) && selection.ends_with(".safetensors");
  return std::ranges::any_of(model.files, names) || ends_with_word(model.name, selection);
}

std::string list(const std::vector<ModelFiles>& models) {
  std::string text;
  for (const ModelFiles& model : models)
    text += fmt::format("\n  {}  ({})", model.name, format_bytes(model.bytes()));
  return text;
}

}  // namespace

uint64_t ModelFiles::bytes() const {
  return std::accumulate(files.begin(), files.end(), uint64_t{0},
                         [](uint64_t sum, const HubFile& file) { return sum + file.bytes; });
}

std::vector<ModelFiles> models_among(const std::vector<HubFile>& files) {
  std::map<std::string, ModelFiles> by_name;
  for (const HubFile& file : files) {
    if (!is_language_model(file.path)) continue;
    ModelFiles& model = by_name[model_name(file.path)];
    model.name = model_name(file.path);
    model.files.push_back(file);
  }
  std::vector<ModelFiles> models;
  for (auto& [name, model] : by_name) {
    std::ranges::sort(model.files, {}, &HubFile::path);
    models.push_back(std::move(model));
  }
  const auto has = [&](auto test) { return std::ranges::any_of(files, test, &HubFile::path); };
  if (has([](std::string_view path) { return path == "config.json"; }) && has([](std::string_view path) {
        return path.ends_with(".safetensors") && belongs_to_checkpoint(path);
      })) {
    ModelFiles checkpoint{.name = std::string(kCheckpoint), .files = {}};
    std::ranges::copy_if(files, std::back_inserter(checkpoint.files), belongs_to_checkpoint, &HubFile::path);
    models.push_back(std::move(checkpoint));
  }
  return models;
}

Result<ModelFiles> choose_model(const std::vector<HubFile>& files, std::string_view selection,
                                std::string_view repository) {
  std::vector<ModelFiles> models = models_among(files);
  if (models.empty()) {
    return Error{ErrorCode::kNotFound,
                 fmt::format("{} has neither GGUF files nor a safetensors checkpoint with a config.json; "
                             "halod reads these two",
                             repository),
                 "model"};
  }
  std::vector<ModelFiles> meant;
  const auto keep = [&](std::string_view wanted) {
    std::ranges::copy_if(models, std::back_inserter(meant),
                         [&](const ModelFiles& model) { return is_meant(model, wanted); });
  };
  if (!selection.empty()) {
    keep(selection);
  } else if (models.size() == 1) {
    meant = models;
  } else {
    keep(kUsualQuantisation);
    if (meant.empty()) keep(kCheckpoint);
  }
  if (meant.size() == 1) return std::move(meant.front());
  if (meant.empty() && !selection.empty()) {
    return Error{ErrorCode::kNotFound,
                 fmt::format("{} has no '{}'; it has:{}", repository, selection, list(models)), "model"};
  }
  return Error{ErrorCode::kInvalidArgument,
               fmt::format("{} has several models{}; choose one with {}:NAME:{}", repository,
                           selection.empty() ? "" : fmt::format(" that end with '{}'", selection), repository,
                           list(meant.empty() ? models : meant)),
               "model"};
}

}  // namespace halod::cli
