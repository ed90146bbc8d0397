// SentencePiece vocabularies: against the library's own ids (sentence_piece/make_cases.py), and what the
// library does not know, special tokens in text.
#include "runtime/text/sentence_piece.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "runtime/text/tokenizer.h"

namespace halod {
namespace {

using testing::ElementsAre;

boost::json::value library_cases() {
  std::ifstream file(HALOD_SOURCE_DIR "/tests/runtime/text/sentence_piece/cases.json", std::ios::binary);
  return boost::json::parse(std::string(std::istreambuf_iterator<char>(file), {}));
}

TokenizerData library_vocabulary(const boost::json::value& cases) {
  TokenizerData data;
  data.model = "llama";
  data.add_space_prefix = true;
  for (const auto& piece : cases.at("pieces").as_array()) data.tokens.emplace_back(piece.as_string());
  for (const auto& score : cases.at("scores").as_array()) data.scores.push_back(score.to_number<float>());
  for (const auto& type : cases.at("types").as_array())
    data.token_types.push_back(static_cast<TokenType>(type.to_number<int>()));
  return data;
}

/// Ids: 0 <unk>, 1 <s>, 2 the space, then the pieces in falling score, then byte tokens for 'x' and 0x80.
Tokenizer tiny_tokenizer(const std::vector<std::string>& pieces, bool has_bytes, bool adds_space = true) {
  TokenizerData data;
  data.model = "llama";
  data.add_space_prefix = adds_space;
  const auto add = [&data](std::string text, TokenType type) {
    data.scores.push_back(-static_cast<float>(data.tokens.size()));
    data.tokens.push_back(std::move(text));
    data.token_types.push_back(type);
  };
  add("<unk>", TokenType::kUnknown);
  add("<s>", TokenType::kControl);
  add("\xE2\x96\x81", TokenType::kNormal);
  for (const std::string& piece : pieces) add(piece, TokenType::kNormal);
  if (has_bytes) {
    add("<0x78>", TokenType::kByte);
    add("<0x80>", TokenType::kByte);
  }
  data.bos = TokenId{1};
  data.add_bos = true;
  return Tokenizer::create(data).value();
}

std::vector<int> ids_of(const Tokenizer& tokenizer, std::string_view text,
                        const EncodeOptions& options = {}) {
  std::vector<int> ids;
  const auto encoded = tokenizer.encode(text, options).value();
  for (const TokenId id : encoded) ids.push_back(to_int(id));
  return ids;
}

TEST(ASentencePieceTokenizer, GivesTheIdsOfTheLibrary) {
  const boost::json::value cases = library_cases();
  const Tokenizer tokenizer = Tokenizer::create(library_vocabulary(cases)).value();
  size_t n_cases = 0;
  for (const auto& item : cases.at("cases").as_array()) {
    const std::string text(item.at("text").as_string());
    std::vector<int> expected;
    for (const auto& id : item.at("ids").as_array()) expected.push_back(id.to_number<int>());
    EXPECT_EQ(ids_of(tokenizer, text), expected) << "'" << text << "'";
    // Behind the space in front, the text comes back whole.
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text).value()), text.empty() ? text : " " + text);
    ++n_cases;
  }
  EXPECT_GT(n_cases, 60U);
}

TEST(ASentencePieceTokenizer, MergesTheBestScoreFirstAndTheLeftmostOfEqualOnes) {
  const Tokenizer tokenizer = tiny_tokenizer({"bc", "ab", "a", "b", "c", "aa"}, false, false);
  EXPECT_THAT(ids_of(tokenizer, "abc"), ElementsAre(5, 3));
  EXPECT_THAT(ids_of(tokenizer, "aaa"), ElementsAre(8, 5));
}

TEST(ASentencePieceTokenizer, FallsBackToBytesAndThenToTheUnknownToken) {
  const Tokenizer tokenizer = tiny_tokenizer({"a"}, true, false);
  EXPECT_THAT(ids_of(tokenizer, "axa"), ElementsAre(3, 4, 3));
  EXPECT_THAT(ids_of(tokenizer, "a\x80"), ElementsAre(3, 5)) << "not UTF-8";
  EXPECT_THAT(ids_of(tokenizer, "ay"), ElementsAre(3, 0)) << "no byte token for y";
  EXPECT_EQ(tokenizer.token_text(TokenId{5}), "\x80");
}

TEST(ASentencePieceTokenizer, PutsASpaceInFrontOfTextAndBehindSpecialTokens) {
  const Tokenizer tokenizer = tiny_tokenizer({"\xE2\x96\x81"
                                              "a",
                                              "a"},
                                             false);
  EXPECT_THAT(ids_of(tokenizer, "a"), ElementsAre(3));
  EXPECT_THAT(ids_of(tokenizer, "a<s>a", {.parse_special = true}), ElementsAre(3, 1, 3));
  EXPECT_THAT(ids_of(tokenizer, "a", {.add_special = true}), ElementsAre(1, 3));
  EXPECT_THAT(ids_of(tokenizer, ""), ElementsAre());
  EXPECT_THAT(ids_of(tiny_tokenizer({"\xE2\x96\x81"
                                     "a",
                                     "a"},
                                    false, false),
                     "a"),
              ElementsAre(4));
}

TEST(ASentencePieceTokenizer, NeverMakesAControlOrByteTokenOutOfItsName) {
  const Tokenizer tokenizer = tiny_tokenizer({"<", "s", ">", "<s", "0x", "78"}, true, false);
  EXPECT_THAT(ids_of(tokenizer, "<s>"), ElementsAre(6, 5));
  EXPECT_THAT(ids_of(tokenizer, "<0x78>"), testing::Not(testing::Contains(9)));
}

TEST(ASentencePieceTokenizer, NeedsAScoreForEveryToken) {
  TokenizerData data = library_vocabulary(library_cases());
  data.scores.pop_back();
  EXPECT_EQ(Tokenizer::create(data).error().field, "tokenizer.ggml.scores");
}

}  // namespace
}  // namespace halod
