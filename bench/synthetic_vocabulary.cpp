#include "bench/synthetic_vocabulary.h"

#include <iterator>
#include <string>
#include <string_view>
#include <vector>

namespace halod {
namespace {

constexpr int64_t kNormalToken = 1;
constexpr int64_t kControlToken = 3;

constexpr std::string_view kSpecialTokens[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>",
                                               "</tool_call>",  "<think>",      "</think>"};
constexpr int64_t kEndOfTextIdx = 0;
constexpr int64_t kEndOfTurnIdx = 2;

// ChatML, plain: the marks around every message, and the start of the answer.
constexpr std::string_view kChatTemplate =
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}";

std::string utf8_of(uint32_t code_point) {  // below U+0800
  if (code_point < 0x80) return std::string(1, static_cast<char>(code_point));
  return {static_cast<char>(0xc0 | (code_point >> 6)), static_cast<char>(0x80 | (code_point & 0x3f))};
}

bool stands_for_itself(uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

// Byte-level BPE writes each byte as a printable character: itself, or the next one from U+0100 on. In
// vocabulary order.
std::vector<std::string> byte_tokens() {
  std::vector<std::string> tokens;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    if (stands_for_itself(byte)) tokens.push_back(utf8_of(byte));
  }
  const auto n_others = static_cast<uint32_t>(256 - tokens.size());
  for (uint32_t i = 0; i < n_others; ++i) tokens.push_back(utf8_of(0x100 + i));
  return tokens;
}

}  // namespace

void add_synthetic_vocabulary(GgufWriter& writer, int64_t vocab_size) {
  HALOD_ASSERT(vocab_size >= 300 && vocab_size <= 400'000);
  const auto n_plain = static_cast<size_t>(vocab_size) - std::size(kSpecialTokens);
  std::vector<std::string> tokens = byte_tokens();
  std::vector<std::string> merges;
  // Letters by frequency, with U+0120 (the space) only in front. Each round appends one letter to every
  // sequence of the round before, so that all texts are different and every merge's halves exist before it.
  constexpr std::string_view kLetters = "etaoinshrdlcumwfgypbvkxjqz";
  std::vector<std::string> sequences = {"\xc4\xa0"};
  for (const char letter : kLetters) sequences.emplace_back(1, letter);
  for (size_t i = 0; tokens.size() < n_plain; ++i) {
    for (size_t j = 0; j < kLetters.size() && tokens.size() < n_plain; ++j) {
      merges.push_back(sequences[i] + ' ' + kLetters[j]);
      sequences.push_back(sequences[i] + kLetters[j]);
      tokens.push_back(sequences.back());
    }
  }
  std::vector<int64_t> types(tokens.size(), kNormalToken);
  tokens.insert(tokens.end(), std::begin(kSpecialTokens), std::end(kSpecialTokens));
  types.resize(tokens.size(), kControlToken);

  writer.add_metadata("tokenizer.ggml.model", "gpt2");
  writer.add_metadata("tokenizer.ggml.pre", "qwen2");
  writer.add_metadata("tokenizer.ggml.tokens", MetadataArray(std::move(tokens)));
  writer.add_metadata("tokenizer.ggml.token_type", MetadataArray(std::move(types)));
  writer.add_metadata("tokenizer.ggml.merges", MetadataArray(std::move(merges)));
  writer.add_metadata("tokenizer.ggml.bos_token_id", static_cast<int64_t>(n_plain) + kEndOfTextIdx);
  writer.add_metadata("tokenizer.ggml.eos_token_id", static_cast<int64_t>(n_plain) + kEndOfTurnIdx);
  writer.add_metadata("tokenizer.ggml.add_bos_token", false);
  writer.add_metadata("tokenizer.chat_template", std::string(kChatTemplate));
}

}  // namespace halod
