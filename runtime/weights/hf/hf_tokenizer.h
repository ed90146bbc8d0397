// The tokenizer of a Hugging Face folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

#include "base/error.h"
#include "runtime/weights/tokenizer_data.h"

namespace halod {

/// A family's way to cut text into words, as tokenizer.json writes it.
struct HfSplitRule {
  std::string_view pre;    ///< GGUF's `tokenizer.ggml.pre`
  std::string_view regex;  ///< of the one Split, behaviour "Isolated"; empty: ByteLevel's own
};

/// Those that halod knows; for tests.
std::span<const HfSplitRule> hf_split_rules();

/// Reads tokenizer.json (byte-level BPE), tokenizer_config.json and generation_config.json where they are,
/// and the chat template from chat_template.jinja or tokenizer_config.json. `n_embeddings`: rows of the
/// embedding matrix, which no token's id may reach; 0: not known. What would give other tokens than the
/// model's own tokenizer is refused by name; Unicode normalisation (NFC) is left out, as converters to GGUF
/// do. Errors: kNotFound, kIo, kCorruptFile, kUnsupported naming file and key. Thread: any.
Result<TokenizerData> read_hf_tokenizer(const std::filesystem::path& folder, int64_t n_embeddings);

}  // namespace halod
