#include "runtime/weights/tokenizer_data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <optional>

namespace halod {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Changes = std::map<std::string, std::optional<MetadataValue>>;  // nothing: the key is left out

Result<TokenizerData> read(const Changes& changes) {
  std::map<std::string, MetadataValue> keys = {
      {"tokenizer.ggml.model", "gpt2"},
      {"tokenizer.ggml.pre", "qwen2"},
      {"tokenizer.ggml.tokens",
       MetadataArray(std::vector<std::string>{"a", "b", "ab", "<|endoftext|>", "<|im_end|>"})},
      {"tokenizer.ggml.token_type", MetadataArray(std::vector<int64_t>{1, 0, 1, 3, 3})},
      {"tokenizer.ggml.merges", MetadataArray(std::vector<std::string>{"a b"})},
      {"tokenizer.ggml.eos_token_id", int64_t{4}}};
  for (const auto& [key, value] : changes) {
    keys.erase(key);
    if (value) keys[key] = *value;
  }
  Metadata metadata("model.gguf");
  for (auto& [key, value] : keys) metadata.insert(key, std::move(value));
  return read_tokenizer_data(metadata);
}

TEST(TokenizerDataFromMetadata, HoldsVocabularyMergesAndSpecials) {
  const TokenizerData data =
      read({{"tokenizer.chat_template", "{{ x }}"}, {"general.name", "Some Model"}}).value();
  EXPECT_EQ(data.model, "gpt2");
  EXPECT_EQ(data.pre, "qwen2");
  EXPECT_EQ(data.tokens.size(), 5u);
  EXPECT_THAT(data.token_types, ElementsAre(TokenType::kNormal, TokenType::kNormal, TokenType::kNormal,
                                            TokenType::kControl, TokenType::kControl));
  EXPECT_THAT(data.merges, ElementsAre("a b"));
  EXPECT_EQ(data.eos, TokenId{4});
  EXPECT_EQ(data.bos, std::nullopt);
  EXPECT_FALSE(data.add_bos);
  EXPECT_EQ(data.chat_template, "{{ x }}");
  EXPECT_EQ(data.model_name, "Some Model");
}

TEST(TokenizerDataFromMetadata, CountsEveryKnownEndMarkerAsEndOfGenerationOnce) {
  EXPECT_THAT(read({}).value().end_of_generation, ElementsAre(TokenId{4}, TokenId{3}));
  EXPECT_THAT(read({{"tokenizer.ggml.eot_token_id", int64_t{2}}}).value().end_of_generation,
              ElementsAre(TokenId{4}, TokenId{2}, TokenId{3}));
}

TEST(TokenizerDataFromMetadata, DoesNotTakeOrdinaryTextForAnEndMarker) {
  const MetadataValue all_normal = MetadataArray(std::vector<int64_t>{1, 1, 1, 1, 1});
  EXPECT_THAT(read({{"tokenizer.ggml.token_type", all_normal}}).value().end_of_generation,
              ElementsAre(TokenId{4}));
}

TEST(TokenizerDataFromMetadata, LetsAMessagesEndEndAnAnswerOnlyWhereNothingElseDoes) {
  const auto ends_of = [](std::vector<std::string> tokens) {
    const std::vector<int64_t> types(tokens.size(), 3);
    return read({{"tokenizer.ggml.tokens", MetadataArray(std::move(tokens))},
                 {"tokenizer.ggml.token_type", MetadataArray(types)},
                 {"tokenizer.ggml.eos_token_id", int64_t{0}}})
        .value()
        .end_of_generation;
  };
  // gpt-oss: an answer is several messages.
  EXPECT_THAT(ends_of({"<|return|>", "<|end|>", "<|call|>"}), ElementsAre(TokenId{0}, TokenId{2}));
  // Phi: one.
  EXPECT_THAT(ends_of({"<|endoftext|>", "<|end|>", "<|user|>"}), ElementsAre(TokenId{0}, TokenId{1}));
}

TEST(TokenizerDataFromMetadata, AddsBosToOldLlama3FilesOnly) {
  const Changes llama = {{"tokenizer.ggml.pre", "llama-bpe"}, {"tokenizer.ggml.bos_token_id", int64_t{3}}};
  EXPECT_TRUE(read(llama).value().add_bos);
  EXPECT_FALSE(read({{"tokenizer.ggml.bos_token_id", int64_t{3}}}).value().add_bos);
}

TEST(TokenizerDataFromMetadata, IsUnsupportedForOtherTokenizers) {
  const auto data = read({{"tokenizer.ggml.model", "t5"}});
  ASSERT_FALSE(data);
  EXPECT_EQ(data.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(data.error().field, "tokenizer.ggml.model");
}

TEST(TokenizerDataFromMetadata, HoldsScoresInsteadOfMergesOfSentencePiece) {
  const Changes llama = {{"tokenizer.ggml.model", "llama"},
                         {"tokenizer.ggml.merges", std::nullopt},
                         {"tokenizer.ggml.bos_token_id", int64_t{3}},
                         {"tokenizer.ggml.scores", MetadataArray(std::vector<double>{-1, -2, -0.5, 0, 0})}};
  const TokenizerData data = read(llama).value();
  EXPECT_THAT(data.scores, ElementsAre(-1.0F, -2.0F, -0.5F, 0.0F, 0.0F));
  EXPECT_TRUE(data.add_bos && data.add_space_prefix);
  const std::pair<const char*, std::optional<MetadataValue>> problems[] = {
      {"tokenizer.ggml.scores", std::nullopt},
      {"tokenizer.ggml.scores", MetadataArray(std::vector<double>{1})},
      {"tokenizer.ggml.precompiled_charsmap", MetadataArray(std::vector<int64_t>{1})}};
  for (const auto& [key, value] : problems) {
    Changes changed = llama;
    changed[key] = value;
    EXPECT_EQ(read(changed).error().field, key);
  }
}

TEST(TokenizerDataFromMetadata, RefusesContradictionsByKey) {
  const std::pair<const char*, std::optional<MetadataValue>> cases[] = {
      {"tokenizer.ggml.model", std::nullopt},
      {"tokenizer.ggml.tokens", std::nullopt},
      {"tokenizer.ggml.tokens", MetadataArray(std::vector<std::string>{})},
      {"tokenizer.ggml.tokens", MetadataArray(std::vector<int64_t>{1})},
      {"tokenizer.ggml.token_type", MetadataArray(std::vector<int64_t>{1})},
      {"tokenizer.ggml.token_type", MetadataArray(std::vector<int64_t>{1, 1, 1, 1, 7})},
      {"tokenizer.ggml.token_type", MetadataArray(std::vector<int64_t>{1, 1, 1, 1, -1})},
      {"tokenizer.ggml.merges", std::nullopt},
      {"tokenizer.ggml.merges", MetadataArray(std::vector<std::string>{"ab"})},
      {"tokenizer.ggml.merges", MetadataArray(std::vector<std::string>{" b"})},
      {"tokenizer.ggml.merges", MetadataArray(std::vector<std::string>{"a "})},
      {"tokenizer.ggml.merges", MetadataArray(std::vector<std::string>{""})},
      {"tokenizer.ggml.eos_token_id", int64_t{5}},
      {"tokenizer.ggml.eos_token_id", int64_t{-1}},
      {"tokenizer.ggml.bos_token_id", int64_t{1} << 32},
      {"tokenizer.ggml.add_bos_token", true},
      {"tokenizer.ggml.pre", int64_t{1}},
      {"tokenizer.chat_template", false},
  };
  for (const auto& [key, value] : cases) {
    const auto data = read({{key, value}});
    ASSERT_FALSE(data) << key;
    EXPECT_EQ(data.error().code, ErrorCode::kCorruptFile) << data.error().message;
    EXPECT_EQ(data.error().field, key);
    EXPECT_THAT(data.error().message, HasSubstr("model.gguf"));
  }
}

}  // namespace
}  // namespace halod
