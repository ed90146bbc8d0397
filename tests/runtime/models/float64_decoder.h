// A second, independent implementation of Qwen3 and Qwen3-MoE, written from Hugging Face's definition
// (modeling_qwen3.py, modeling_qwen3_moe.py) in double precision: whole prompt at once, no cache, no shared
// code with runtime/models or kernels/.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "base/ids.h"

namespace halod::test {

/// Logits of every position, [n_tokens][vocab_size].
std::vector<std::vector<double>> float64_logits(const std::filesystem::path& model,
                                                std::span<const TokenId> tokens);

}  // namespace halod::test
