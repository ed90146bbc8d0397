#include "runtime/weights/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "runtime/weights/ggml_types.h"
#include "runtime/weights/gguf_file.h"
#include "runtime/weights/gguf_reader.h"
#include "runtime/weights/hf/hf_checkpoint.h"

namespace halod {
namespace {

template <class File>
Result<std::unique_ptr<const Checkpoint>> boxed(Result<File> file) {
  if (!file) return file.error();
  return std::unique_ptr<const Checkpoint>(std::make_unique<File>(std::move(*file)));
}

bool is_folder(const std::filesystem::path& path) {
  std::error_code ignored;  // what cannot be looked at is opened as a file, which says why
  return std::filesystem::is_directory(path, ignored);
}

}  // namespace

const TensorInfo* Checkpoint::find_tensor(std::string_view name) const {
  const auto entry = tensor_idx_by_name_.find(name);
  return entry == tensor_idx_by_name_.end() ? nullptr : &tensors_[entry->second];
}

uint64_t Checkpoint::total_tensor_bytes() const {
  return std::accumulate(tensors_.begin(), tensors_.end(), uint64_t{0},
                         [](uint64_t sum, const TensorInfo& tensor) { return sum + tensor.size_bytes; });
}

bool Checkpoint::add_tensor(TensorInfo tensor) {
  if (!tensor_idx_by_name_.emplace(tensor.name, tensors_.size()).second) return false;
  tensors_.push_back(std::move(tensor));
  return true;
}

Result<> Checkpoint::check_formats() const {
  if (unsupported_.empty()) return {};
  // The format of the first tensor first.
  std::vector<std::pair<std::string_view, std::vector<const UnsupportedTensor*>>> tensors_by_format;
  for (const UnsupportedTensor& tensor : unsupported_) {
    auto entry =
        std::ranges::find(tensors_by_format, tensor.format_in_file, [](const auto& e) { return e.first; });
    if (entry == tensors_by_format.end())
      entry = tensors_by_format.insert(entry, {tensor.format_in_file, {}});
    entry->second.push_back(&tensor);
  }
  std::string formats;
  for (const auto& [format, tensors] : tensors_by_format) {
    formats += fmt::format("{}{} of tensor '{}'", formats.empty() ? "" : ", ", format,
                           printable(tensors.front()->name));
    if (tensors.size() > 1) formats += fmt::format(" and {} more", tensors.size() - 1);
  }
  return Error{ErrorCode::kUnsupported,
               fmt::format("{}: {} of {} tensors have formats that cannot be read: {}; supported are {}",
                           metadata_.file_name(), unsupported_.size(), tensors_.size() + unsupported_.size(),
                           formats, supported_format_names()),
               printable(unsupported_.front().name)};
}

Result<std::unique_ptr<const Checkpoint>> open_checkpoint(const std::filesystem::path& path) {
  return is_folder(path) ? boxed(HfCheckpoint::open(path)) : boxed(GgufFile::open(path));
}

Result<std::unique_ptr<const Checkpoint>> open_checkpoint_to_inspect(const std::filesystem::path& path) {
  return is_folder(path) ? boxed(HfCheckpoint::open_to_inspect(path))
                         : boxed(GgufFile::open_to_inspect(path));
}

}  // namespace halod
