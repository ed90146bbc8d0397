// Everything that opening a model file reads, fed with bytes from libFuzzer.
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "runtime/weights/gguf_file.h"
#include "runtime/weights/model_config.h"
#include "runtime/weights/model_summary.h"
#include "runtime/weights/tokenizer_data.h"
#include "tests/support/memory_file.h"

namespace {

// Reads the start of every tensor and decodes a row of it, as a load would.
void use_tensors(const halod::GgufFile& file) {
  for (const halod::TensorInfo& tensor : file.tensors()) {
    const halod::FormatTraits& format = halod::traits(tensor.format);
    std::vector<std::byte> block(static_cast<size_t>(format.block_bytes));
    HALOD_ASSERT(block.size() <= tensor.size_bytes);
    file.read(tensor, tensor.size_bytes - block.size(), block).value();
    std::vector<float> weights(static_cast<size_t>(format.block_elements));
    format.dequantize(block.data(), format.block_elements, weights.data());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const halod::MemoryFile content;
  content.set_content({reinterpret_cast<const char*>(data), size});
  if (const auto looked_at = halod::GgufFile::open_to_inspect(content.path())) {
    const auto summary = halod::summarise_model(*looked_at);
    if (summary) HALOD_ASSERT(summary->weight_bytes_per_token <= summary->tensor_bytes);
  }
  const auto file = halod::GgufFile::open(content.path());
  if (!file) {
    HALOD_ASSERT(!file.error().message.empty() && !file.error().field.empty());
    return 0;
  }
  use_tensors(*file);
  const auto config = halod::read_model_config(*file);
  if (config) HALOD_ASSERT(config->vocab_size > 0 && config->head_dim > 0);
  const auto tokenizer = halod::read_tokenizer_data(file->metadata());
  if (tokenizer) HALOD_ASSERT(tokenizer->token_types.size() == tokenizer->tokens.size());
  return 0;
}
