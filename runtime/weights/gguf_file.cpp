#include "runtime/weights/gguf_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <numeric>
#include <utility>

#include "runtime/weights/gguf_parser.h"
#include "runtime/weights/gguf_reader.h"
#include "runtime/weights/open_file.h"

namespace halod {
namespace {

constexpr std::string_view kSplitCountKey = "split.count";
constexpr std::string_view kSplitNumberKey = "split.no";
constexpr std::string_view kSplitTensorsKey = "split.tensors.count";
// The file names have five digits; nobody splits into nearly as many, and every part costs a descriptor.
constexpr int64_t kMaxParts = 512;

// "<stem>-00001-of-00003.gguf"
std::string part_name(std::string_view stem, int64_t part_idx, int64_t n_parts) {
  return fmt::format("{}-{:05}-of-{:05}.gguf", stem, part_idx + 1, n_parts);
}

// The stem of the name of part `part_idx`; nothing when `file_name` is not of that form.
std::optional<std::string> stem_of_part(const std::string& file_name, int64_t part_idx, int64_t n_parts) {
  const std::string suffix = part_name("", part_idx, n_parts);
  if (file_name.size() <= suffix.size() || !file_name.ends_with(suffix)) return std::nullopt;
  return file_name.substr(0, file_name.size() - suffix.size());
}

Error corrupt_split(const std::string& file_name, std::string_view key, std::string_view problem) {
  return {ErrorCode::kCorruptFile, fmt::format("{}: metadata key '{}' {}", file_name, key, problem),
          std::string(key)};
}

// The other parts' paths, in order; empty for a file that is a model of its own.
Result<std::vector<std::filesystem::path>> find_other_parts(const std::filesystem::path& path,
                                                            const Metadata& metadata) {
  std::vector<std::filesystem::path> parts;
  const auto n_parts = metadata.integer_or(kSplitCountKey, 1);
  if (!n_parts) return n_parts.error();
  if (*n_parts < 0 || *n_parts > kMaxParts) {
    return corrupt_split(metadata.file_name(), kSplitCountKey,
                         fmt::format("is {}, allowed are 1 to {}", *n_parts, kMaxParts));
  }
  if (*n_parts <= 1) return parts;
  const auto part_idx = metadata.integer(kSplitNumberKey);
  if (!part_idx) return part_idx.error();
  if (*part_idx != 0) {
    return corrupt_split(
        metadata.file_name(), kSplitNumberKey,
        fmt::format("says that this is part {} of {}; open the first part", *part_idx + 1, *n_parts));
  }
  const auto stem = stem_of_part(metadata.file_name(), 0, *n_parts);
  if (!stem) {
    return corrupt_split(
        metadata.file_name(), kSplitCountKey,
        fmt::format("says that this is the first of {} parts, so its name must end in '{}' for the others to "
                    "be found; give the parts their names back",
                    *n_parts, part_name("", 0, *n_parts)));
  }
  std::string missing;
  for (int64_t idx = 1; idx < *n_parts; ++idx) {
    parts.push_back(path.parent_path() / part_name(*stem, idx, *n_parts));
    std::error_code ignored;  // what cannot be looked at counts as missing
    if (!std::filesystem::exists(parts.back(), ignored))
      missing += (missing.empty() ? "" : ", ") + parts.back().string();
  }
  if (!missing.empty()) {
    return Error{ErrorCode::kNotFound,
                 fmt::format("{}: of its {} parts these are missing: {}; fetch them into the same folder",
                             metadata.file_name(), *n_parts, missing),
                 std::string(kSplitCountKey)};
  }
  return parts;
}

// Part `part_idx`'s own split keys must say what the first part's say.
Result<> check_part(const Metadata& part, int64_t part_idx, const Metadata& first) {
  const auto number = part.integer(kSplitNumberKey);
  if (!number) return number.error();
  if (*number != part_idx) {
    return corrupt_split(
        part.file_name(), kSplitNumberKey,
        fmt::format("is {}, but the file's name says {}; the parts are mixed up", *number, part_idx));
  }
  for (const std::string_view key : {kSplitCountKey, kSplitTensorsKey}) {
    const auto in_part = part.integer(key);
    const auto in_first = first.integer(key);
    if (!in_part) return in_part.error();
    if (!in_first) return in_first.error();
    if (*in_part != *in_first) {
      return corrupt_split(part.file_name(), key,
                           fmt::format("is {}, but {} in {}; the parts are of different models", *in_part,
                                       *in_first, first.file_name()));
    }
  }
  return {};
}

}  // namespace

Result<GgufFile> GgufFile::open(const std::filesystem::path& path) {
  auto model = open_to_inspect(path);
  if (!model) return model.error();
  if (const auto checked = model->check_formats(); !checked) return checked.error();
  return model;
}

Result<GgufFile> GgufFile::open_to_inspect(const std::filesystem::path& path) {
  GgufFile model(path);
  std::vector<std::filesystem::path> paths = {path};
  for (size_t file_idx = 0; file_idx < paths.size(); ++file_idx) {
    auto file = OpenFile::open(paths[file_idx]);
    if (!file) return file.error();
    auto part = parse_gguf(**file, static_cast<uint32_t>(file_idx));
    if (!part) return part.error();
    if (file_idx == 0) {
      auto others = find_other_parts(path, part->metadata);
      if (!others) return others.error();
      paths.insert(paths.end(), others->begin(), others->end());
      model.metadata_ = std::move(part->metadata);
    } else if (const auto checked =
                   check_part(part->metadata, static_cast<int64_t>(file_idx), model.metadata_);
               !checked) {
      return checked.error();
    }
    for (TensorInfo& tensor : part->tensors) {
      const std::string name = printable(tensor.name);
      if (!model.add_tensor(std::move(tensor))) {
        return Error{ErrorCode::kCorruptFile,
                     fmt::format("{}: tensor '{}' occurs twice", (*file)->name(), name), name};
      }
    }
    std::ranges::move(part->unsupported, std::back_inserter(model.unsupported_));
    model.files_.push_back(std::move(*file));
  }
  if (paths.size() > 1) {
    const auto n_tensors = model.metadata_.integer(kSplitTensorsKey);
    if (!n_tensors) return n_tensors.error();
    const size_t n_found = model.tensors().size() + model.unsupported_.size();
    if (*n_tensors != static_cast<int64_t>(n_found)) {
      return corrupt_split(
          model.metadata_.file_name(), kSplitTensorsKey,
          fmt::format("is {}, but the {} parts hold {} tensors", *n_tensors, paths.size(), n_found));
    }
  }
  return model;
}

uint64_t GgufFile::file_bytes() const {
  return std::accumulate(files_.begin(), files_.end(), uint64_t{0},
                         [](uint64_t sum, const auto& file) { return sum + file->size(); });
}

Result<> GgufFile::read(const TensorInfo& tensor, uint64_t byte_offset, std::span<std::byte> out) const {
  HALOD_ASSERT(tensor.file_idx < files_.size());
  HALOD_ASSERT(byte_offset <= tensor.size_bytes && out.size() <= tensor.size_bytes - byte_offset);
  return files_[tensor.file_idx]->read_exactly(tensor.offset + byte_offset, out);
}

void GgufFile::prefetch(const TensorInfo& tensor, uint64_t byte_offset, uint64_t n_bytes) const {
  HALOD_ASSERT(tensor.file_idx < files_.size());
  files_[tensor.file_idx]->prefetch(tensor.offset + byte_offset, n_bytes);
}

}  // namespace halod
