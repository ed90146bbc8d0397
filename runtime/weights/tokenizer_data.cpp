#include "runtime/weights/tokenizer_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "runtime/weights/gguf_reader.h"

namespace halod {
namespace {

// Control tokens that end an answer in the families that exist, whatever else the file's eos key names:
// Qwen's base and chat ends, Llama 3's, Phi's, Gemma's, gpt-oss's. A model that emits one of them has
// finished, even if its eos is another.
constexpr std::string_view kEndOfGenerationTexts[] = {
    "<|endoftext|>", "<|im_end|>", "<|end_of_text|>", "<|eot_id|>", "<|eom_id|>", "<|end|>",
    "<|eom|>",       "<|eot|>",    "<end_of_turn>",   "<|return|>", "<|call|>"};

// The keys that name an end by its id.
constexpr std::string_view kEndOfGenerationKeys[] = {
    "tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"};

class TokenizerDataReader {
 public:
  explicit TokenizerDataReader(const Metadata& metadata) : metadata_(metadata) {}

  TokenizerData read() {
    data_.model = metadata_.string("tokenizer.ggml.model").value();
    const bool is_sentence_piece = data_.model == "llama";
    if (data_.model != "gpt2" && !is_sentence_piece) {
      throw ErrorException(Error{
          ErrorCode::kUnsupported,
          fmt::format("{}: tokenizer.ggml.model is '{}'; supported are 'gpt2' (byte-level BPE) and 'llama' "
                      "(SentencePiece)",
                      metadata_.file_name(), printable(data_.model)),
          "tokenizer.ggml.model"});
    }
    data_.pre = metadata_.string_or("tokenizer.ggml.pre", "default").value();
    read_tokens();
    read_token_types();
    if (is_sentence_piece) {
      read_scores();
    } else {
      read_merges();
    }
    data_.bos = token_id("tokenizer.ggml.bos_token_id");
    data_.eos = token_id("tokenizer.ggml.eos_token_id");
    find_ends_of_generation();
    // Llama files from before the key existed rely on it being on.
    const bool default_add_bos = (is_sentence_piece || data_.pre == "llama-bpe") && data_.bos.has_value();
    data_.add_bos = metadata_.boolean_or("tokenizer.ggml.add_bos_token", default_add_bos).value();
    if (data_.add_bos && !data_.bos)
      fail("tokenizer.ggml.add_bos_token", "is true, but tokenizer.ggml.bos_token_id is missing");
    data_.chat_template = metadata_.string_or("tokenizer.chat_template", "").value();
    data_.model_name = metadata_.string_or("general.name", "").value();
    return std::move(data_);
  }

 private:
  [[noreturn]] void fail(std::string_view key, std::string_view problem) const {
    const std::string name = metadata_.name_in_file(std::string(key));
    throw ErrorException(Error{ErrorCode::kCorruptFile,
                               fmt::format("{}: metadata key '{}' {}", metadata_.file_name(), name, problem),
                               name});
  }

  void read_tokens() {
    constexpr std::string_view kKey = "tokenizer.ggml.tokens";
    const std::span<const std::string> tokens = metadata_.strings(kKey).value();
    if (tokens.empty() || tokens.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
      fail(kKey, fmt::format("holds {} tokens, allowed are 1 to 2^31 - 1", tokens.size()));
    }
    data_.tokens.assign(tokens.begin(), tokens.end());
  }

  void read_token_types() {
    constexpr std::string_view kKey = "tokenizer.ggml.token_type";
    data_.token_types.assign(data_.tokens.size(), TokenType::kNormal);
    if (!metadata_.contains(kKey)) return;
    const std::span<const int64_t> types = metadata_.integers(kKey).value();
    if (types.size() != data_.tokens.size()) {
      fail(kKey, fmt::format("holds {} types for {} tokens", types.size(), data_.tokens.size()));
    }
    for (size_t i = 0; i < types.size(); ++i) {
      // 0 is ggml's "undefined", which converters write for plain tokens.
      if (types[i] < 0 || types[i] > 6)
        fail(kKey, fmt::format("holds {} for token {}, allowed are 0 to 6", types[i], i));
      if (types[i] != 0) data_.token_types[i] = static_cast<TokenType>(types[i]);
    }
  }

  void read_scores() {
    constexpr std::string_view kKey = "tokenizer.ggml.scores";
    const std::span<const double> scores = metadata_.reals(kKey).value();
    if (scores.size() != data_.tokens.size())
      fail(kKey, fmt::format("holds {} scores for {} tokens", scores.size(), data_.tokens.size()));
    data_.scores.assign(scores.begin(), scores.end());
    if (std::ranges::any_of(data_.scores, [](float score) { return std::isnan(score); }))
      fail(kKey, "holds a score that is not a number");
    data_.add_space_prefix = metadata_.boolean_or("tokenizer.ggml.add_space_prefix", true).value();
    constexpr std::string_view kNormaliser = "tokenizer.ggml.precompiled_charsmap";
    if (metadata_.contains(kNormaliser)) {
      throw ErrorException(Error{ErrorCode::kUnsupported,
                                 fmt::format("{}: {} is there; text normalisers are not supported",
                                             metadata_.file_name(), kNormaliser),
                                 std::string(kNormaliser)});
    }
  }

  void read_merges() {
    constexpr std::string_view kKey = "tokenizer.ggml.merges";
    const std::span<const std::string> merges = metadata_.strings(kKey).value();
    for (size_t i = 0; i < merges.size(); ++i) {
      // From 1: byte-level text has no space of its own, but a left half is never empty.
      const size_t space = merges[i].find(' ', 1);
      if (space == std::string::npos || space + 1 == merges[i].size()) {
        fail(kKey, fmt::format("holds merge {} without two halves and a space between them", i));
      }
    }
    data_.merges.assign(merges.begin(), merges.end());
  }

  std::optional<TokenId> token_id(std::string_view key) const {
    if (!metadata_.contains(key)) return std::nullopt;
    const int64_t id = metadata_.integer(key).value();
    if (id < 0 || id >= static_cast<int64_t>(data_.tokens.size())) {
      fail(key, fmt::format("is {}, but the vocabulary has {} tokens", id, data_.tokens.size()));
    }
    return TokenId{static_cast<int32_t>(id)};
  }

  void find_ends_of_generation() {
    const auto add = [&](TokenId id) {
      if (std::ranges::find(data_.end_of_generation, id) == data_.end_of_generation.end())
        data_.end_of_generation.push_back(id);
    };
    for (const std::string_view key : kEndOfGenerationKeys) {
      if (const auto id = token_id(key)) add(*id);
    }
    for (size_t i = 0; i < data_.tokens.size(); ++i) {
      if (data_.token_types[i] != TokenType::kControl) continue;
      if (std::ranges::find(kEndOfGenerationTexts, data_.tokens[i]) != std::end(kEndOfGenerationTexts)) {
        add(TokenId{static_cast<int32_t>(i)});
      }
    }
    drop_end_of_message();
  }

  /// Of gpt-oss: <|end|> closes one message of an answer, which goes on until <|return|> or <|call|>.
  void drop_end_of_message() {
    const auto is_end = [&](std::string_view text) {
      return std::ranges::any_of(data_.end_of_generation, [&](TokenId id) {
        return data_.tokens[static_cast<size_t>(to_int(id))] == text;
      });
    };
    if (!is_end("<|return|>") || !is_end("<|call|>")) return;
    std::erase_if(data_.end_of_generation,
                  [&](TokenId id) { return data_.tokens[static_cast<size_t>(to_int(id))] == "<|end|>"; });
  }

  const Metadata& metadata_;
  TokenizerData data_;
};

}  // namespace

Result<TokenizerData> read_tokenizer_data(const Metadata& metadata) {
  try {
    return TokenizerDataReader(metadata).read();
  } catch (const ErrorException& exception) {
    return exception.error();
  }
}

}  // namespace halod
