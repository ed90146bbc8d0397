#include "runtime/weights/hf/safetensors_files.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <utility>

#include "runtime/weights/gguf_reader.h"
#include "runtime/weights/hf/json_file.h"

namespace halod {
namespace {

namespace fs = std::filesystem;

// As for GGUF: every shard costs a descriptor, and nobody splits into nearly as many.
constexpr size_t kMaxShards = 512;

bool is_there(const fs::path& path) {
  std::error_code ignored;  // what cannot be looked at counts as missing
  return fs::exists(path, ignored);
}

}  // namespace

Result<SafetensorsFiles> SafetensorsFiles::open(const fs::path& folder) {
  try {
    SafetensorsFiles model;
    if (is_there(folder / kSafetensorsName)) {
      model.add(folder / kSafetensorsName);
    } else if (is_there(folder / kSafetensorsIndexName)) {
      model.add_shards(folder);
    } else {
      return Error{ErrorCode::kNotFound,
                   fmt::format("{}: has neither {} nor {}; fetch the model's weights as safetensors",
                               folder.string(), kSafetensorsName, kSafetensorsIndexName),
                   std::string(kSafetensorsName)};
    }
    return model;
  } catch (const ErrorException& exception) {
    return exception.error();
  }
}

void SafetensorsFiles::add(const fs::path& path) {
  auto file = OpenFile::open(path).value();
  std::vector<SafetensorsTensor> tensors =
      parse_safetensors(*file, static_cast<uint32_t>(files_.size())).value();
  files_.push_back(file);
  for (SafetensorsTensor& tensor : tensors) {
    const auto [entry, is_new] = tensor_idx_by_name_.emplace(tensor.name, tensors_.size());
    if (!is_new) {
      const std::string name = printable(tensor.name);
      throw ErrorException({ErrorCode::kCorruptFile,
                            fmt::format("{}: tensor '{}' is also in {}", file->name(), name,
                                        file_of(tensors_[entry->second]).name()),
                            name});
    }
    tensors_.push_back(std::move(tensor));
  }
}

void SafetensorsFiles::add_shards(const fs::path& folder) {
  const JsonObject index = read_json_file(folder / kSafetensorsIndexName).value();
  const auto weight_map = index.object("weight_map");
  if (!weight_map || weight_map->fields().empty()) index.fail_corrupt("weight_map", "is missing or empty");
  std::set<std::string> shards;
  for (const auto& [name, value] : weight_map->fields()) {
    const std::string shard = weight_map->required_string(name);
    // A name from a stranger's file must not lead out of the folder; the system would end it at a zero byte.
    if (shard.empty() || shard.find_first_of(std::string_view("/\0", 2)) != std::string::npos ||
        shard.front() == '.')
      weight_map->fail_corrupt(name, fmt::format("names the file '{}'", printable(shard)));
    shards.insert(shard);
  }
  if (shards.size() > kMaxShards)
    index.fail_corrupt("weight_map",
                       fmt::format("names {} files, allowed are {}", shards.size(), kMaxShards));
  std::string missing;
  for (const std::string& shard : shards) {
    if (!is_there(folder / shard)) missing += (missing.empty() ? "" : ", ") + printable(shard);
  }
  if (!missing.empty()) {
    throw ErrorException({ErrorCode::kNotFound,
                          fmt::format("{}: of its {} files these are missing: {}; fetch them into the same "
                                      "folder",
                                      (folder / kSafetensorsIndexName).string(), shards.size(), missing),
                          "weight_map"});
  }
  for (const std::string& shard : shards) add(folder / shard);
  for (const auto& [name, value] : weight_map->fields()) {
    const SafetensorsTensor* tensor = find(name);
    const std::string_view shard = value.get_string();
    if (tensor == nullptr || file_of(*tensor).name() != shard) {
      weight_map->fail_corrupt(name, fmt::format("is said to be in {}, but {}", printable(shard),
                                                 tensor == nullptr ? "is in none of the files"
                                                                   : "is in " + file_of(*tensor).name()));
    }
  }
}

const SafetensorsTensor* SafetensorsFiles::find(std::string_view name) const {
  const auto entry = tensor_idx_by_name_.find(name);
  return entry == tensor_idx_by_name_.end() ? nullptr : &tensors_[entry->second];
}

uint64_t SafetensorsFiles::file_bytes() const {
  return std::accumulate(files_.begin(), files_.end(), uint64_t{0},
                         [](uint64_t sum, const auto& file) { return sum + file->size(); });
}

Error SafetensorsFiles::error_at(const SafetensorsTensor& tensor, ErrorCode code,
                                 std::string_view problem) const {
  std::string name = printable(tensor.name);
  return {code, fmt::format("{}: tensor '{}' {}", file_of(tensor).name(), name, problem), name};
}

void SafetensorsFiles::require(const SafetensorsTensor& tensor, std::string_view dtypes,
                               const std::vector<int64_t>& shape) const {
  if (tensor.shape != shape) {
    throw ErrorException(error_at(
        tensor, ErrorCode::kCorruptFile,
        fmt::format("has shape [{}], wanted [{}]", fmt::join(tensor.shape, ", "), fmt::join(shape, ", "))));
  }
  if (dtypes.find(tensor.dtype) == std::string_view::npos) {
    throw ErrorException(
        error_at(tensor, ErrorCode::kUnsupported, fmt::format("is {}, wanted {}", tensor.dtype, dtypes)));
  }
}

Result<> SafetensorsFiles::read(const SafetensorsTensor& tensor, uint64_t byte_offset,
                                std::span<std::byte> out) const {
  HALOD_ASSERT(tensor.file_idx < files_.size());
  HALOD_ASSERT(byte_offset <= tensor.size_bytes && out.size() <= tensor.size_bytes - byte_offset);
  return files_[tensor.file_idx]->read_exactly(tensor.offset + byte_offset, out);
}

}  // namespace halod
