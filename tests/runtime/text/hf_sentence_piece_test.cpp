// tokenizer.json with SentencePiece's byte-pair encoding: the ids of the library whose vocabulary it was made
// of.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "runtime/text/tokenizer.h"
#include "runtime/weights/hf/hf_tokenizer.h"
#include "tests/support/temporary_folder.h"

namespace halod {
namespace {

namespace json = boost::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kSpaceMark = "\xE2\x96\x81";

json::value sentence_piece_cases() {
  std::ifstream file(HALOD_SOURCE_DIR "/tests/runtime/text/sentence_piece/cases.json", std::ios::binary);
  return json::parse(std::string(std::istreambuf_iterator<char>(file), {}));
}

/// As the converter of SentencePiece's models writes it: of each piece, best score first, all its ways to
/// fall into two pieces.
json::array merges_of(const std::map<std::string, double>& score_of_piece) {
  std::vector<std::pair<double, std::string>> pieces;
  for (const auto& [piece, score] : score_of_piece) pieces.emplace_back(-score, piece);
  std::ranges::sort(pieces);
  json::array merges;
  for (const auto& [score, piece] : pieces) {
    for (size_t at = 1; at < piece.size(); ++at) {
      if (score_of_piece.contains(piece.substr(0, at)) && score_of_piece.contains(piece.substr(at)))
        merges.push_back(json::array{piece.substr(0, at), piece.substr(at)});
    }
  }
  return merges;
}

json::object prepend_and_replace() {
  return {{"type", "Sequence"},
          {"normalizers", json::array{json::object{{"type", "Prepend"}, {"prepend", kSpaceMark}},
                                      json::object{{"type", "Replace"},
                                                   {"pattern", json::object{{"String", " "}}},
                                                   {"content", kSpaceMark}}}}};
}

json::object metaspace(const char* scheme) {
  return {{"type", "Metaspace"}, {"replacement", kSpaceMark}, {"prepend_scheme", scheme}, {"split", false}};
}

/// Llama 2's file, with the library's vocabulary.
json::object llama_tokenizer(const json::value& cases) {
  std::map<std::string, double> score_of_piece;
  json::object vocab;
  const auto& pieces = cases.at("pieces").as_array();
  for (size_t i = 0; i < pieces.size(); ++i) {
    const std::string piece(pieces[i].as_string());
    vocab[piece] = i;
    if (cases.at("types").as_array()[i] == static_cast<int>(TokenType::kNormal))
      score_of_piece[piece] = cases.at("scores").as_array()[i].to_number<double>();
  }
  const auto added = [](int id, const char* content) {
    return json::object{{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
                        {"rstrip", false}, {"normalized", false}, {"special", true}};
  };
  return {{"added_tokens", json::array{added(0, "<unk>"), added(1, "<s>"), added(2, "</s>")}},
          {"normalizer", prepend_and_replace()},
          {"pre_tokenizer", nullptr},
          {"model", json::object{{"type", "BPE"},
                                 {"unk_token", "<unk>"},
                                 {"fuse_unk", true},
                                 {"byte_fallback", true},
                                 {"vocab", vocab},
                                 {"merges", merges_of(score_of_piece)}}}};
}

Result<TokenizerData> read_from(const json::object& tokenizer) {
  const TemporaryFolder folder;
  folder.write_file("tokenizer.json", json::serialize(tokenizer));
  return read_hf_tokenizer(folder.path(), 0);
}

/// As the library takes text: names of control tokens are nothing special.
std::vector<int> encoded(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<int> ids;
  for (const TokenId id : tokenizer.encode(text).value()) ids.push_back(to_int(id));
  return ids;
}

TEST(ASentencePieceTokenizerJson, GivesTheIdsOfTheLibrary) {
  const json::value cases = sentence_piece_cases();
  const TokenizerData data = read_from(llama_tokenizer(cases)).value();
  EXPECT_EQ(data.model, "llama");
  EXPECT_EQ(data.token_types[0], TokenType::kControl);
  EXPECT_EQ(data.token_types[3], TokenType::kByte);
  const Tokenizer tokenizer = Tokenizer::create(data).value();
  size_t n_cases = 0;
  for (const auto& item : cases.at("cases").as_array()) {
    const std::string text(item.at("text").as_string());
    std::vector<int> expected;
    for (const auto& id : item.at("ids").as_array()) expected.push_back(id.to_number<int>());
    EXPECT_EQ(encoded(tokenizer, text), expected) << "'" << text << "'";
    ++n_cases;
  }
  EXPECT_GT(n_cases, 10U);
}

TEST(ASentencePieceTokenizerJson, SaysWhereTextGetsASpaceInFront) {
  json::object tokenizer = llama_tokenizer(sentence_piece_cases());
  const auto spaces = [&tokenizer](const json::value& normalizer, const json::value& pre) {
    tokenizer["normalizer"] = normalizer;
    tokenizer["pre_tokenizer"] = pre;
    const Tokenizer read = Tokenizer::create(read_from(tokenizer).value()).value();
    const std::string decoded = read.decode(read.encode("a<s>b", {.parse_special = true}).value());
    return decoded;
  };
  EXPECT_EQ(spaces(prepend_and_replace(), nullptr), " a<s> b");
  EXPECT_EQ(spaces(nullptr, metaspace("always")), " a<s> b");
  EXPECT_EQ(spaces(nullptr, metaspace("first")), " a<s>b");
  EXPECT_EQ(spaces(nullptr, metaspace("never")), "a<s>b");
  EXPECT_EQ(spaces(prepend_and_replace().at("normalizers").as_array()[1], nullptr), "a<s>b");
}

TEST(ASentencePieceTokenizerJson, IsRefusedByNameWhereScoresCannotSayWhatItsMergesDo) {
  const json::value cases = sentence_piece_cases();
  const json::object tokenizer = llama_tokenizer(cases);
  const auto error_of = [&tokenizer](const auto& change) {
    json::object changed = tokenizer;
    change(changed);
    const auto read = read_from(changed);
    return read ? Error{} : read.error();
  };
  const auto merges = [](json::object& changed) -> json::array& {
    return changed["model"].as_object()["merges"].as_array();
  };
  const Error missing = error_of([&](json::object& changed) { merges(changed).pop_back(); });
  EXPECT_EQ(missing.code, ErrorCode::kUnsupported);
  EXPECT_EQ(missing.field, "model.merges");
  EXPECT_THAT(missing.message, HasSubstr("tokenizer.json: "));
  const Error foreign = error_of([&](json::object& changed) { merges(changed).push_back("q\xC3\x9F z"); });
  EXPECT_EQ(foreign.code, ErrorCode::kCorruptFile);
  EXPECT_EQ(foreign.field, "model.merges");
  // Two ways of one piece, with another piece between them.
  const Error apart = error_of([&](json::object& changed) {
    json::array& all = merges(changed);
    for (size_t i = 0; i + 1 < all.size(); ++i) {
      const auto whole = [&](size_t at) {
        return std::string(all[at].as_array()[0].as_string()) +
               std::string(all[at].as_array()[1].as_string());
      };
      if (whole(i) != whole(i + 1)) continue;
      const json::value moved = all[i];
      all.erase(all.begin() + static_cast<std::ptrdiff_t>(i));
      all.push_back(moved);
      return;
    }
    ADD_FAILURE() << "no piece has two merges";
  });
  EXPECT_EQ(apart.code, ErrorCode::kUnsupported);
  EXPECT_EQ(apart.field, "model.merges");
  EXPECT_EQ(error_of([](json::object& changed) {
              changed["normalizer"] = json::object{{"type", "NFKC"}};
            }).field,
            "normalizer.type");
  EXPECT_EQ(error_of([](json::object& changed) { changed["normalizer"] = nullptr; }).field, "normalizer");
  EXPECT_EQ(error_of([](json::object& changed) {
              changed["normalizer"] = nullptr;
              json::object pre = metaspace("first");
              pre.erase("split");
              changed["pre_tokenizer"] = pre;
            }).field,
            "pre_tokenizer.split");
  EXPECT_EQ(
      error_of([](json::object& changed) { changed["model"].as_object()["ignore_merges"] = true; }).field,
      "model.ignore_merges");
}

TEST(AGenerationConfiguration, SaysHowItsModelIsSampled) {
  const TemporaryFolder folder;
  folder.write_file("tokenizer.json", json::serialize(llama_tokenizer(sentence_piece_cases())));
  const auto read = [&folder](const char* generation) {
    folder.write_file("generation_config.json", generation);
    return read_hf_tokenizer(folder.path(), 0);
  };
  const SamplingDefaults sampling =
      read(R"({"eos_token_id": [2], "do_sample": true, "temperature": 0.7, "top_p": 0.8,
      "top_k": 20, "repetition_penalty": 1.05})")
          .value()
          .sampling;
  EXPECT_EQ(sampling.temperature, 0.7);
  EXPECT_EQ(sampling.top_p, 0.8);
  EXPECT_EQ(sampling.top_k, 20);
  EXPECT_EQ(sampling.repetition_penalty, 1.05);
  EXPECT_FALSE(sampling.min_p);
  EXPECT_EQ(read(R"({"top_k": -1})").value().sampling.top_k, 0);
  EXPECT_FALSE(read("{}").value().sampling.temperature);
  for (const auto& [text, field] : std::initializer_list<std::pair<const char*, const char*>>{
           {R"({"temperature": -0.5})", "temperature"},
           {R"({"temperature": "hot"})", "temperature"},
           {R"({"top_p": 0})", "top_p"},
           {R"({"min_p": 1})", "min_p"},
           {R"({"top_k": -2})", "top_k"},
           {R"({"repetition_penalty": 11})", "repetition_penalty"}}) {
    const auto refused = read(text);
    ASSERT_FALSE(refused) << text;
    EXPECT_EQ(refused.error().code, ErrorCode::kCorruptFile);
    EXPECT_EQ(refused.error().field, field);
    EXPECT_THAT(refused.error().message, HasSubstr("generation_config.json: "));
  }
}

}  // namespace
}  // namespace halod
