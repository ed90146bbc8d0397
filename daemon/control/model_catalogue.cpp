#include "daemon/control/model_catalogue.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <regex>
#include <set>

#include "kernels/quant/formats.h"
#include "runtime/weights/checkpoint.h"
#include "runtime/weights/hf/hf_checkpoint.h"
#include "runtime/weights/model_config.h"

namespace halod {
namespace {

namespace fs = std::filesystem;

/// The names that a client may use; each belongs to one model.
class NameBook {
 public:
  bool contains(const std::string& name) const { return names_.contains(name); }
  Result<> add(const std::string& name) {
    if (names_.insert(name).second) return {};
    return Error{
        ErrorCode::kInvalidArgument,
        fmt::format("models.list has two models that answer to '{}'; names and aliases must be unique", name),
        "models.list"};
  }

 private:
  std::set<std::string> names_;
};

/// Model files, each split one once, and folders that are models.
Result<std::vector<fs::path>> list_folder(const fs::path& folder) {
  static const std::regex kLaterPart(".*-(?!00001)[0-9]{5}-of-[0-9]{5}\\.gguf$");
  std::vector<fs::path> files;
  if (HfCheckpoint::is_model(folder)) files.push_back(folder);
  std::error_code ec;
  for (fs::recursive_directory_iterator entry(folder, fs::directory_options::skip_permission_denied, ec), end;
       !ec && entry != end; entry.increment(ec)) {
    const std::string path = entry->path().string();
    std::error_code ignored;  // a file that vanishes while we look
    if (entry->path().extension() == ".gguf" && entry->is_regular_file(ignored) &&
        !std::regex_match(path, kLaterPart))
      files.push_back(entry->path());
    if (entry->is_directory(ignored) && HfCheckpoint::is_model(entry->path())) files.push_back(entry->path());
  }
  if (ec) {
    return Error{ErrorCode::kIo,
                 fmt::format("the model folder {} cannot be read: {}", folder.string(), ec.message()),
                 "models.directory"};
  }
  std::ranges::sort(files);
  return files;
}

}  // namespace

std::string model_name_from(const fs::path& file) {
  // The cache of Hugging Face's own programs: models--Qwen--Qwen3-30B-A3B/snapshots/<commit>.
  const fs::path folder = file.parent_path();
  const std::string repository = folder.parent_path().filename().string();
  if (folder.filename() == "snapshots" && repository.starts_with("models--"))
    return repository.substr(repository.rfind("--") + 2);
  const std::string stem = file.extension() == ".gguf" ? file.stem().string() : file.filename().string();
  return std::regex_replace(stem, std::regex("-[0-9]{5}-of-[0-9]{5}$"), "");
}

Result<std::vector<ModelSpec>> find_models(const ModelsConfig& config) {
  std::vector<ModelSpec> models;
  NameBook names;
  std::set<fs::path> paths;
  for (const ModelEntryConfig& entry : config.list) {
    std::error_code ec;
    fs::path path = fs::absolute(entry.path, ec).lexically_normal();
    if (!path.has_filename()) path = path.parent_path();  // "folder/"
    std::string name = entry.name.empty() ? model_name_from(path) : entry.name;
    if (auto added = names.add(name); !added) return added.error();
    for (const std::string& alias : entry.aliases) {
      if (auto added = names.add(alias); !added) return added.error();
    }
    paths.insert(path);
    models.push_back({.name = std::move(name), .path = path, .config = entry});
  }
  if (!config.directory.empty()) {
    fs::path folder = fs::absolute(config.directory).lexically_normal();
    if (!folder.has_filename()) folder = folder.parent_path();
    const auto files = list_folder(folder);
    if (!files) return files.error();
    for (const fs::path& path : *files) {
      const std::string name = model_name_from(path);
      if (paths.contains(path) || names.contains(name)) continue;
      names.add(name).value();
      models.push_back({.name = name, .path = path, .config = {.path = path.string()}});
    }
  }
  if (models.empty() && !config.bundled_model.empty()) {
    const fs::path path = config.bundled_model;
    models.push_back({.name = model_name_from(path), .path = path, .config = {.path = path.string()}});
  }
  return models;
}

Result<ModelFileInfo> read_model_file_info(const fs::path& path) {
  const auto opened = open_checkpoint(path);
  if (!opened) return opened.error();
  const Checkpoint& file = **opened;
  const Result<ModelConfig> config = read_model_config(file);
  if (!config) return config.error();
  ModelFileInfo info{.architecture = config->architecture,
                     .size_bytes = file.total_tensor_bytes(),
                     .context_length = config->context_length};
  std::map<std::string_view, uint64_t> bytes_by_format;
  for (const TensorInfo& tensor : file.tensors()) {
    bytes_by_format[traits(tensor.format).name] += tensor.size_bytes;
    int64_t n_elements = 1;
    for (const int64_t n : tensor.shape) n_elements *= n;
    info.n_parameters += n_elements;
  }
  const auto most =
      std::ranges::max_element(bytes_by_format, {}, [](const auto& entry) { return entry.second; });
  if (most != bytes_by_format.end()) info.quantization = most->first;
  return info;
}

}  // namespace halod
