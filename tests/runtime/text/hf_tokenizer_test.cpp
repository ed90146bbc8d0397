// tokenizer.json: the same tokens as from a GGUF file of the same vocabulary.
#include "runtime/weights/hf/hf_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "runtime/text/pre_tokenizer.h"
#include "runtime/text/tokenizer.h"
#include "runtime/weights/gguf_file.h"
#include "tests/support/small_hf_model.h"
#include "tests/support/temporary_folder.h"

namespace halod {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string read_whole(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

const HfSplitRule* find_split_rule(std::string_view pre) {
  const auto rules = hf_split_rules();
  const auto row = std::ranges::find(rules, pre, &HfSplitRule::pre);
  return row == rules.end() ? nullptr : &*row;
}

/// As the tokenizers library writes a byte-level BPE; merges as pairs, or as strings.
std::string tokenizer_json(const TokenizerData& data, const HfSplitRule& rule, bool ignores_merges,
                           bool pairs) {
  json::object vocab;
  json::array added, merges;
  for (size_t i = 0; i < data.tokens.size(); ++i) {
    const TokenType type = data.token_types[i];
    if (type == TokenType::kNormal) vocab[data.tokens[i]] = i;
    if (type != TokenType::kControl && type != TokenType::kUserDefined) continue;
    added.push_back(json::object{{"id", i},
                                 {"content", data.tokens[i]},
                                 {"single_word", false},
                                 {"lstrip", false},
                                 {"rstrip", false},
                                 {"normalized", false},
                                 {"special", type == TokenType::kControl}});
  }
  for (const std::string& merge : data.merges) {
    const size_t space = merge.find(' ', 1);
    if (pairs) {
      merges.push_back(json::array{merge.substr(0, space), merge.substr(space + 1)});
    } else {
      merges.push_back(json::string(merge));
    }
  }
  const bool has_regex = !rule.regex.empty();
  const json::object byte_level{
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", !has_regex}};
  json::array steps;
  if (has_regex) {
    steps.push_back(json::object{{"type", "Split"},
                                 {"pattern", json::object{{"Regex", rule.regex}}},
                                 {"behavior", "Isolated"},
                                 {"invert", false}});
  }
  steps.push_back(byte_level);
  json::object tokenizer{{"version", "1.0"}, {"added_tokens", added}, {"normalizer", nullptr}};
  tokenizer["pre_tokenizer"] =
      has_regex ? json::object{{"type", "Sequence"}, {"pretokenizers", steps}} : byte_level;
  if (data.add_bos) {
    const json::object special{{"id", data.tokens[static_cast<size_t>(to_int(*data.bos))]}, {"type_id", 0}};
    const json::array single{json::object{{"SpecialToken", special}},
                             json::object{{"Sequence", json::object{{"id", "A"}, {"type_id", 0}}}}};
    const json::object processor{{"type", "TemplateProcessing"}, {"single", single}};
    tokenizer["post_processor"] =
        json::object{{"type", "Sequence"}, {"processors", json::array{byte_level, processor}}};
  }
  tokenizer["model"] = json::object{{"type", "BPE"},
                                    {"byte_fallback", false},
                                    {"ignore_merges", ignores_merges},
                                    {"vocab", std::move(vocab)},
                                    {"merges", std::move(merges)}};
  return json::serialize(tokenizer);
}

std::vector<TokenId> ids_in(const json::value& array) {
  std::vector<TokenId> ids;
  for (const json::value& id : array.as_array()) ids.push_back(TokenId{static_cast<int32_t>(id.as_int64())});
  return ids;
}

TEST(TheTokenizerConformanceOfTokenizerJson, IsThatOfTheGgufVocabulary) {
  const fs::path folder = fs::path(HALOD_CONFORMANCE_DIR) / "tokenizers";
  if (!fs::exists(folder)) GTEST_SKIP() << "no conformance kit at " << folder;
  const json::value cases = json::parse(read_whole(folder / "cases.json"));
  size_t n_cases = 0;
  for (const json::value& set : cases.at("sets").as_array()) {
    const std::string_view pre = set.at("pre").as_string();
    const HfSplitRule* rule = find_split_rule(pre);
    if (rule == nullptr) continue;
    const GgufFile gguf = GgufFile::open(folder / set.at("vocab").as_string().c_str()).value();
    const TokenizerData data = read_tokenizer_data(gguf.metadata()).value();
    const TemporaryFolder model;
    model.write_file("tokenizer.json", tokenizer_json(data, *rule, pre == "llama-bpe", n_cases % 2 == 0));
    const TokenizerData read = read_hf_tokenizer(model.path(), 0).value();
    EXPECT_EQ(read.pre, pre);
    EXPECT_EQ(read.bos.has_value(), data.add_bos);
    const Tokenizer tokenizer = Tokenizer::create(read).value();
    for (const json::value& item : set.at("cases").as_array()) {
      const std::string_view text = item.at("text").as_string();
      SCOPED_TRACE(std::string(pre) + ": " + std::string(text));
      EXPECT_EQ(tokenizer.encode(text).value(), ids_in(item.at("ids")));
      const auto with_special = tokenizer.encode(text, {.add_special = true, .parse_special = true}).value();
      EXPECT_EQ(with_special, ids_in(item.at("ids_special")));
      ++n_cases;
    }
  }
  EXPECT_GT(n_cases, 80U);
}

TEST(EveryKnownExpressionOfTokenizerJson, IsOneOfThePreTokenizers) {
  const auto replace_all = [](std::string text, std::string_view from, std::string_view to) {
    for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
      text.replace(at, from.size(), to);
    return text;
  };
  const std::string contraction = "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]";
  for (const HfSplitRule& rule : hf_split_rules()) {
    const auto rules = pre_tokenizer_rules();
    const auto row = std::ranges::find(rules, rule.pre, &PreTokenizerRule::name);
    ASSERT_NE(row, rules.end()) << rule.pre;
    if (rule.regex.empty()) continue;  // ByteLevel's own
    // "(?i:…)" is spelt out there (pre_tokenizer.cpp says why).
    const std::string group = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
    std::string regex = replace_all(std::string(rule.regex), group + "?", "(?:" + contraction + ")?");
    regex = replace_all(regex, group, contraction);
    EXPECT_EQ(regex, row->expressions.front()) << rule.pre;
  }
}

class AHuggingFaceTokenizer : public ::testing::Test {
 protected:
  Result<TokenizerData> read(const HfFiles& files) {
    write_files(files, folder_.path());
    return read_hf_tokenizer(folder_.path(), 20);
  }
  Result<TokenizerData> read_changed(const char* file, std::string_view from, std::string_view to) {
    HfFiles files = small_hf_model(false);
    const size_t at = files.at(file).find(from);
    EXPECT_NE(at, std::string::npos) << from;
    files[file].replace(at, from.size(), to);
    return read(files);
  }
  TemporaryFolder folder_;
};

TEST_F(AHuggingFaceTokenizer, HasVocabularySpecialsEndsAndTemplate) {
  const TokenizerData data = read(small_hf_model(false)).value();
  EXPECT_EQ(data.pre, "qwen2");
  ASSERT_EQ(data.tokens.size(), 20U);
  EXPECT_EQ(data.tokens[17], "abc");
  EXPECT_EQ(data.token_types[17], TokenType::kNormal);
  EXPECT_EQ(data.token_types[19], TokenType::kControl);
  EXPECT_THAT(data.merges, ElementsAre("a b", "ab c"));
  EXPECT_EQ(data.eos, TokenId{19});
  EXPECT_EQ(data.bos, std::nullopt);
  EXPECT_FALSE(data.add_bos);
  EXPECT_THAT(data.end_of_generation, ElementsAre(TokenId{19}, TokenId{18}));
  EXPECT_EQ(data.chat_template, "{{ messages[0].content }}");
}

TEST_F(AHuggingFaceTokenizer, TakesTheTemplateFromWhereverItIs) {
  HfFiles files = small_hf_model(false);
  const std::string from = R"("chat_template": "{{ messages[0].content }}")";
  files["tokenizer_config.json"].replace(
      files["tokenizer_config.json"].find(from), from.size(),
      R"("chat_template": [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}])");
  EXPECT_EQ(read(files).value().chat_template, "D");
  files["chat_template.jinja"] = "J";
  EXPECT_EQ(read(files).value().chat_template, "J");
  const TemporaryFolder bare;
  write_files({{"tokenizer.json", files.at("tokenizer.json")}}, bare.path());
  EXPECT_EQ(read_hf_tokenizer(bare.path(), 20).value().chat_template, "");
}

TEST_F(AHuggingFaceTokenizer, SwallowsWhiteSpaceBesideTokensThatSaySo) {
  HfFiles files = small_hf_model(false);
  std::string& text = files["tokenizer.json"];
  const std::string from = R"("<|im_end|>", "single_word": false, "lstrip": false, "rstrip": false)";
  text.replace(text.find(from), from.size(),
               R"("<|im_end|>", "single_word": false, "lstrip": true, "rstrip": true)");
  const Tokenizer tokenizer = Tokenizer::create(read(files).value()).value();
  const EncodeOptions special{.parse_special = true};
  // This vocabulary has no space: where one was left it would be dropped too, so count by the words around.
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("ab \n<|im_end|>\u00a0 \tc", special).value()),
            "ab<|im_end|>c");
  EXPECT_THAT(tokenizer.encode("abc<|im_end|>  abc", special).value(),
              ElementsAre(TokenId{17}, TokenId{19}, TokenId{17}));
}

TEST_F(AHuggingFaceTokenizer, RefusesWhatWouldGiveOtherTokens) {
  struct Case {
    const char* file;
    const char* from;
    const char* to;
    ErrorCode code;
    const char* field;
  };
  constexpr auto kCorrupt = ErrorCode::kCorruptFile;
  constexpr auto kUnsupported = ErrorCode::kUnsupported;
  const char* main = "tokenizer.json";
  const Case cases[] = {
      {main, R"("type": "BPE")", R"("type": "Unigram")", kUnsupported, "model.type"},
      {main, R"("byte_fallback": false)", R"("byte_fallback": true)", kUnsupported, "normalizer.type"},
      {main, R"("end_of_word_suffix": "")", R"("end_of_word_suffix": "x")", kUnsupported,
       "model.end_of_word_suffix"},
      {main, R"("type": "NFC")", R"("type": "Lowercase")", kUnsupported, "normalizer.type"},
      {main, R"(\\p{N}| ?)", R"(\\p{N}{1,2}| ?)", kUnsupported, "pre_tokenizer"},
      {main, R"("behavior": "Isolated")", R"("behavior": "Removed")", kUnsupported,
       "pre_tokenizer.pretokenizers[0].behavior"},
      {main, R"("add_prefix_space": false)", R"("add_prefix_space": true)", kUnsupported,
       "pre_tokenizer.pretokenizers[1].add_prefix_space"},
      {main, R"("type": "Split")", R"("type": "Digits")", kUnsupported,
       "pre_tokenizer.pretokenizers[0].type"},
      {main, R"("single_word": false)", R"("single_word": true)", kUnsupported,
       "added_tokens[0].single_word"},
      {main, R"("id": 18)", R"("id": 20)", kCorrupt, "added_tokens[0].id"},
      {main, R"("id": 18)", R"("id": 17)", kCorrupt, "added_tokens[0].id"},
      {main, R"("abc": 17)", R"("abc": -1)", kCorrupt, "model.vocab.abc"},
      {main, R"("abc": 17)", R"("abc": 16)", kCorrupt, "model.vocab.abc"},
      {main, R"("abc": 17)", R"("abc": "17")", kCorrupt, "model.vocab.abc"},
      {main, R"("a b", "ab c")", R"("a b", ["ab"])", kCorrupt, "model.merges"},
      {main, R"("a b", "ab c")", R"("a b", "abc")", kCorrupt, "model.merges"},
      {main, R"("vocab")", R"("words")", kCorrupt, "model.vocab"},
      {main, R"("version": "1.0",)", "", ErrorCode::kInternal, ""},  // changes nothing
      {"tokenizer_config.json", R"("<|im_end|>")", R"("<|end|>")", kCorrupt, "eos_token"},
      {"generation_config.json", "[19, 18]", "[19, 20]", kCorrupt, "eos_token_id"},
      {"generation_config.json", "[19, 18]", "\"19\"", kCorrupt, "eos_token_id"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(std::string(c.from) + " -> " + c.to);
    const auto data = read_changed(c.file, c.from, c.to);
    if (*c.field == '\0') {
      EXPECT_TRUE(data);
      continue;
    }
    ASSERT_FALSE(data);
    EXPECT_EQ(data.error().code, c.code) << data.error().message;
    EXPECT_EQ(data.error().field, c.field) << data.error().message;
    EXPECT_THAT(data.error().message, HasSubstr(std::string(c.file) + ": "));
  }
}

}  // namespace
}  // namespace halod
