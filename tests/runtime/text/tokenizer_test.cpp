#include "runtime/text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <thread>

#include "runtime/text/pre_tokenizer.h"
#include "tests/runtime/text/tiny_vocabulary.h"

namespace halod {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<int> encode(const Tokenizer& tokenizer, std::string_view text,
                        const EncodeOptions& options = {}) {
  std::vector<int> ids;
  const auto encoded = tokenizer.encode(text, options).value();
  for (const TokenId id : encoded) ids.push_back(to_int(id));
  return ids;
}

std::string round_trip(const Tokenizer& tokenizer, std::string_view text, const EncodeOptions& options = {}) {
  return tokenizer.decode(tokenizer.encode(text, options).value());
}

TEST(ATokenizer, AppliesTheBestMergeFirstAndTheLeftmostOfEqualOnes) {
  const auto tokenizer =
      Tokenizer::create(make_tiny_vocabulary({.merges = {{"b", "c"}, {"a", "b"}, {"a", "a"}, {"aa", "a"}}}))
          .value();
  EXPECT_THAT(encode(tokenizer, "abc"), ElementsAre('a', 256));
  EXPECT_THAT(encode(tokenizer, "ab"), ElementsAre(257));
  EXPECT_THAT(encode(tokenizer, "aaaaa"), ElementsAre(258, 259));
  EXPECT_THAT(encode(tokenizer, ""), ElementsAre());
}

TEST(ATokenizer, NeverMergesAcrossWords) {
  const auto tokenizer =
      Tokenizer::create(make_tiny_vocabulary({.merges = {{"a", " "}, {" ", "b"}}})).value();
  EXPECT_THAT(encode(tokenizer, "a b"), ElementsAre('a', 257));
}

TEST(ATokenizer, TakesWholeWordsOfTheVocabularyOnlyWhereTheFamilyDoes) {
  TinyVocabularyOptions options{.merges = {{"a", "b"}}, .whole_words = {"abc"}};
  options.pre = "llama-bpe";
  EXPECT_THAT(encode(Tokenizer::create(make_tiny_vocabulary(options)).value(), "abc"), ElementsAre(257));
  options.pre = "qwen2";
  EXPECT_THAT(encode(Tokenizer::create(make_tiny_vocabulary(options)).value(), "abc"), ElementsAre(256, 'c'));
}

TEST(ATokenizer, FindsControlTokensOnlyInTrustedText) {
  const auto tokenizer =
      Tokenizer::create(make_tiny_vocabulary({.control = {"<|e|>", "<|e|>x"}, .user_defined = {"<u>"}}))
          .value();
  EXPECT_THAT(encode(tokenizer, "a<|e|>", {.parse_special = true}), ElementsAre('a', 256));
  EXPECT_THAT(encode(tokenizer, "<|e|>x", {.parse_special = true}), ElementsAre(257));
  EXPECT_THAT(encode(tokenizer, "a<|e|>"), ElementsAre('a', '<', '|', 'e', '|', '>'));
  EXPECT_THAT(encode(tokenizer, "a<u>b"), ElementsAre('a', 258, 'b'));
}

TEST(ATokenizer, NeverMakesAControlTokenOutOfUntrustedText) {
  auto data = make_tiny_vocabulary({.pre = "llama-bpe", .control = {"stop"}});
  const auto tokenizer = Tokenizer::create(data).value();
  EXPECT_THAT(encode(tokenizer, "stop"), ElementsAre('s', 't', 'o', 'p'));
}

TEST(ATokenizer, PutsTheBeginningOfSequenceInFrontWhenAskedAndWanted) {
  auto data = make_tiny_vocabulary({.control = {"<s>"}});
  data.bos = TokenId{256};
  EXPECT_THAT(encode(Tokenizer::create(data).value(), "a", {.add_special = true}), ElementsAre('a'));
  data.add_bos = true;
  EXPECT_THAT(encode(Tokenizer::create(data).value(), "a", {.add_special = true}), ElementsAre(256, 'a'));
  EXPECT_THAT(encode(Tokenizer::create(data).value(), "a"), ElementsAre('a'));
}

TEST(ATokenizer, GivesTheTextOfTokensAndLeavesControlTokensOutWhenAsked) {
  const auto tokenizer =
      Tokenizer::create(make_tiny_vocabulary({.merges = {{" ", "a"}}, .control = {"<|e|>"}})).value();
  EXPECT_EQ(tokenizer.token_text(TokenId{256}), " a");
  EXPECT_EQ(tokenizer.token_text(TokenId{0xC3}), "\xC3");
  EXPECT_EQ(tokenizer.token_text(TokenId{-1}), "");
  EXPECT_EQ(tokenizer.token_text(TokenId{9999}), "");
  const std::vector<TokenId> ids = {TokenId{256}, TokenId{257}};
  EXPECT_EQ(tokenizer.decode(ids), " a<|e|>");
  EXPECT_EQ(tokenizer.decode(ids, true), " a");
  EXPECT_EQ(tokenizer.find_special("<|e|>"), TokenId{257});
  EXPECT_EQ(tokenizer.find_special("<|"), std::nullopt);
}

TEST(ATokenizer, RoundTripsAnyBytes) {
  std::mt19937 random(11);
  const std::string alphabet = "ab1 \n\r\t'.<|\xC3\xA9\xE6\x97\xA5\xF0\x9F\x99\x82\xFF\x80";
  for (const PreTokenizerRule& rule : pre_tokenizer_rules()) {
    const auto tokenizer =
        Tokenizer::create(
            make_tiny_vocabulary({.pre = std::string(rule.name),
                                  .merges = {{"a", "b"}, {"\xC3", "\xA9"}, {" ", "a"}, {"\n", "\n"}},
                                  .control = {"<|"},
                                  .user_defined = {"<|a"}}))
            .value();
    for (int round = 0; round < 500; ++round) {
      std::string bytes;
      for (int i = 0; i < 25; ++i) bytes += alphabet[random() % alphabet.size()];
      ASSERT_EQ(round_trip(tokenizer, bytes), bytes);
      ASSERT_EQ(round_trip(tokenizer, bytes, {.parse_special = true}), bytes);
    }
  }
}

TEST(ATokenizer, LeavesOutBytesThatTheVocabularyDoesNotHave) {
  auto data = make_tiny_vocabulary({});
  data.tokens['q'] = encode_byte_level("zz");
  EXPECT_THAT(encode(Tokenizer::create(data).value(), "aqb"), ElementsAre('a', 'b'));
}

TEST(ATokenizer, AgreesWithMergingByRepeatedSearch) {
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    TinyVocabularyOptions options;
    std::vector<std::string> texts = {"a", "b", "c"};
    for (int i = 0; i < 12; ++i) {
      const std::string left = texts[random() % texts.size()];
      const std::string right = texts[random() % texts.size()];
      if (std::find(texts.begin(), texts.end(), left + right) != texts.end()) continue;
      options.merges.emplace_back(left, right);
      texts.push_back(left + right);
    }
    std::string word;
    for (int i = 0; i < 40; ++i) word += static_cast<char>('a' + random() % 3);
    // The definition: while any neighbours can merge, merge the leftmost pair of the best rank.
    std::vector<std::string> symbols;
    for (const char c : word) symbols.emplace_back(1, c);
    for (bool merged = true; merged;) {
      merged = false;
      for (size_t rank = 0; rank < options.merges.size() && !merged; ++rank) {
        for (size_t i = 0; i + 1 < symbols.size() && !merged; ++i) {
          if (symbols[i] != options.merges[rank].first || symbols[i + 1] != options.merges[rank].second)
            continue;
          symbols[i] += symbols[i + 1];
          symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(i) + 1);
          merged = true;
        }
      }
    }
    const auto tokenizer = Tokenizer::create(make_tiny_vocabulary(options)).value();
    std::vector<std::string> texts_of_tokens;
    const auto ids = tokenizer.encode(word).value();
    for (const TokenId id : ids) texts_of_tokens.emplace_back(tokenizer.token_text(id));
    ASSERT_EQ(texts_of_tokens, symbols) << word;
  }
}

TEST(ATokenizer, TakesLongWordsAndLongRunsOfSpaceInStride) {
  const auto tokenizer =
      Tokenizer::create(make_tiny_vocabulary({.merges = {{"a", "a"}, {"aa", "aa"}, {"aaaa", "aaaa"}}}))
          .value();
  const auto start = std::chrono::steady_clock::now();
  for (const char* unit : {"a", " ", "\n", "'", "1", "\xFF", "日", "A"}) {
    std::string text;
    while (text.size() < 200'000) text += unit;
    ASSERT_EQ(round_trip(tokenizer, text), text);
  }
  // A quadratic algorithm would take minutes.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST(ATokenizer, EncodesOnManyThreadsAtOnce) {
  const auto tokenizer =
      Tokenizer::create(make_tiny_vocabulary({.merges = {{"a", "b"}}, .control = {"<s>"}})).value();
  const std::string text = "ab cab <s> 12 ab\n\nabba";
  const auto expected = encode(tokenizer, text, {.parse_special = true});
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&tokenizer, &text, &expected] {
      for (int round = 0; round < 200; ++round) {
        ASSERT_EQ(encode(tokenizer, text, {.parse_special = true}), expected);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(ATokenizer, RefusesAnUnknownPreTokenizerAndNamesTheKnownOnes) {
  const auto result = Tokenizer::create(make_tiny_vocabulary({.pre = "default"}));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(result.error().message, HasSubstr("'default'"));
  EXPECT_THAT(result.error().message, HasSubstr("qwen2"));
}

TEST(ATokenizer, RefusesVocabulariesThatContradictThemselves) {
  auto data = make_tiny_vocabulary({});
  data.model = "t5";
  EXPECT_EQ(Tokenizer::create(data).error().code, ErrorCode::kUnsupported);
  data = make_tiny_vocabulary({});
  data.token_types.pop_back();
  EXPECT_EQ(Tokenizer::create(data).error().code, ErrorCode::kCorruptFile);
  data = make_tiny_vocabulary({});
  data.bos = TokenId{256};
  EXPECT_EQ(Tokenizer::create(data).error().field, "tokenizer.ggml.bos_token_id");
  data = make_tiny_vocabulary({});
  data.merges = {"ab"};
  EXPECT_THAT(Tokenizer::create(data).error().message, HasSubstr("merges[0]"));
  data = make_tiny_vocabulary({});
  data.tokens.clear();
  data.token_types.clear();
  EXPECT_EQ(Tokenizer::create(data).error().field, "tokenizer.ggml.tokens");
}

struct SplitCase {
  std::string_view rule;
  std::string_view text;
  std::vector<std::string_view> pieces;
};

TEST(EveryPreTokenizerRule, SplitsTextAsItsFamilyDoes) {
  const std::vector<SplitCase> cases = {
      {"gpt-2", "I'm  12345 x!!\n", {"I", "'m", " ", " 12345", " x", "!!", "\n"}},
      {"qwen2", "I'M  123 x!!\n\ny", {"I", "'M", " ", " ", "1", "2", "3", " x", "!!\n\n", "y"}},
      {"qwen35", "e\u0301a", {"e\u0301a"}},
      {"qwen2", "e\u0301a", {"e", "\u0301a"}},
      {"llama-bpe", "12345 x", {"123", "45", " x"}},
      {"pixtral", "12345 aB's", {"123", "45", " aB", "'s"}},
      {"glm4", "12345 x", {"123", "45", " x"}},
      {"gpt-4o", "CamelCASE's a/b//\n", {"Camel", "CASE's", " a", "/b", "//\n"}},
      {"minimax-m2", "aB 1234", {"a", "B", " ", "123", "4"}},
  };
  for (const SplitCase& split : cases) {
    std::vector<std::string_view> pieces;
    ASSERT_TRUE(PreTokenizer::create(split.rule).value().split(split.text, pieces));
    EXPECT_EQ(pieces, split.pieces) << split.rule;
  }
}

TEST(EveryPreTokenizerRule, PutsInvalidBytesIntoPiecesOfTheirOwn) {
  for (const PreTokenizerRule& rule : pre_tokenizer_rules()) {
    std::vector<std::string_view> pieces;
    ASSERT_TRUE(
        PreTokenizer::create(rule.name).value().split("a\xFF\xC3"
                                                      "b",
                                                      pieces));
    EXPECT_THAT(pieces, ElementsAre("a", "\xFF\xC3", "b")) << rule.name;
  }
}

}  // namespace
}  // namespace halod
