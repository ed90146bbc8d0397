// A byte-level BPE vocabulary of any size: enough for a daemon to serve a synthetic model.
#pragma once

#include <cstdint>

#include "runtime/weights/gguf_writer.h"

namespace halod {

/// Adds tokenizer.* keys ("gpt2" model, "qwen2" splitting): the 256 bytes, merges that spell letter
/// sequences, and at the end Qwen's special tokens
/// (<|endoftext|>, <|im_start|>, <|im_end|> = eos, …) with a ChatML template. REQUIRES: 300 <= vocab_size <=
/// 400,000.
void add_synthetic_vocabulary(GgufWriter& writer, int64_t vocab_size);

}  // namespace halod
