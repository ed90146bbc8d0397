// Everything that opening a Hugging Face folder reads, fed with bytes from libFuzzer: the first byte says
// which of the files they are, the others are those of a small model.
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/weights/checkpoint.h"
#include "runtime/weights/model_config.h"
#include "runtime/weights/model_summary.h"
#include "tests/support/memory_file.h"
#include "tests/support/small_hf_model.h"
#include "tests/support/temporary_folder.h"

namespace {

/// A folder of which one file is the fuzzer's.
class Folder {
 public:
  explicit Folder(const std::string& fuzzed) {
    halod::HfFiles files = halod::small_hf_model(true, fuzzed == "model.safetensors.index.json");
    files.erase(fuzzed);
    halod::write_files(files, folder_.path());
    std::filesystem::create_symlink(content_.path(), folder_.path() / fuzzed);
  }
  const std::filesystem::path& with(std::string_view content) const {
    content_.set_content(content);
    return folder_.path();
  }

 private:
  halod::TemporaryFolder folder_;
  halod::MemoryFile content_;
};

void use(const std::filesystem::path& folder) {
  if (const auto looked_at = halod::open_checkpoint_to_inspect(folder)) {
    const auto summary = halod::summarise_model(**looked_at);
    if (summary) HALOD_ASSERT(summary->weight_bytes_per_token <= summary->tensor_bytes);
  }
  const auto file = halod::open_checkpoint(folder);
  if (!file) {
    HALOD_ASSERT(!file.error().message.empty() && !file.error().field.empty());
    return;
  }
  for (const halod::TensorInfo& tensor : (*file)->tensors()) {
    const halod::FormatTraits& format = halod::traits(tensor.format);
    std::vector<std::byte> row(static_cast<size_t>(format.row_bytes(tensor.cols())));
    HALOD_ASSERT(row.size() <= tensor.size_bytes);
    static_cast<void>((*file)->read(tensor, tensor.size_bytes - row.size(), row));
    (*file)->prefetch(tensor, 0, row.size());
  }
  const auto config = halod::read_model_config(**file);
  if (config) HALOD_ASSERT(config->vocab_size > 0 && config->head_dim > 0);
  const auto tokenizer = (*file)->tokenizer_data();
  if (tokenizer) HALOD_ASSERT(tokenizer->token_types.size() == tokenizer->tokens.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static std::deque<Folder> folders;
  if (folders.empty()) {
    for (const char* name : halod::kFuzzedHfFiles) folders.emplace_back(name);
  }
  if (size == 0) return 0;
  use(folders[data[0] % folders.size()].with({reinterpret_cast<const char*>(data) + 1, size - 1}));
  return 0;
}
