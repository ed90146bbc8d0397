// The tokenizer against public vocabularies and the ids that their reference implementation gives.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "runtime/text/tokenizer.h"
#include "runtime/weights/gguf_file.h"

namespace halod {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

std::string read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

Tokenizer open_tokenizer(const fs::path& path, std::string_view pre = {}) {
  const GgufFile file = GgufFile::open(path).value();
  TokenizerData data = read_tokenizer_data(file.metadata()).value();
  if (!pre.empty()) data.pre = pre;
  return Tokenizer::create(data).value();
}

std::vector<TokenId> ids_of(const json::value& array) {
  std::vector<TokenId> ids;
  for (const json::value& id : array.as_array()) ids.push_back(TokenId{static_cast<int32_t>(id.as_int64())});
  return ids;
}

class TokenizerConformance : public testing::Test {
 protected:
  void SetUp() override {
    if (!fs::exists(folder_)) GTEST_SKIP() << "no conformance kit at " << folder_;
  }
  fs::path folder_ = fs::path(HALOD_CONFORMANCE_DIR) / "tokenizers";
};

TEST_F(TokenizerConformance, GivesTheIdsOfEveryCase) {
  const json::value cases = json::parse(read_text(folder_ / "cases.json"));
  size_t n_cases = 0;
  for (const json::value& set : cases.at("sets").as_array()) {
    const std::string_view pre = set.at("pre").as_string();
    const Tokenizer tokenizer = open_tokenizer(folder_ / set.at("vocab").as_string().c_str(), pre);
    for (const json::value& item : set.at("cases").as_array()) {
      const std::string_view text = item.at("text").as_string();
      SCOPED_TRACE(std::string(pre) + ": " + std::string(text));
      EXPECT_EQ(tokenizer.encode(text).value(), ids_of(item.at("ids")));
      const auto with_special = tokenizer.encode(text, {.add_special = true, .parse_special = true}).value();
      EXPECT_EQ(with_special, ids_of(item.at("ids_special")));
      EXPECT_EQ(tokenizer.decode(with_special), std::string_view(item.at("text_back").as_string()));
      ++n_cases;
    }
  }
  EXPECT_GT(n_cases, 100U);
}

TEST_F(TokenizerConformance, GivesTheIdsOfTheVectorsBesideTheVocabularies) {
  constexpr std::string_view kSeparator = "\n__ggml_vocab_test__\n";
  for (const char* name : {"qwen2.gguf", "llama-bpe.gguf"}) {
    const Tokenizer tokenizer = open_tokenizer(folder_ / name);
    const std::string texts = read_text(folder_ / (std::string(name) + ".inp"));
    std::istringstream lines(read_text(folder_ / (std::string(name) + ".out")));
    size_t begin = 0;
    std::string line;
    size_t n_vectors = 0;
    while (std::getline(lines, line)) {
      const size_t end = texts.find(kSeparator, begin);
      ASSERT_NE(end, std::string::npos) << name << ": fewer texts than lines of ids";
      const std::string_view text = std::string_view(texts).substr(begin, end - begin);
      std::vector<TokenId> expected;
      std::istringstream numbers(line);
      for (int32_t id = 0; numbers >> id;) expected.push_back(TokenId{id});
      EXPECT_EQ(tokenizer.encode(text).value(), expected) << name << ": " << text;
      begin = end + kSeparator.size();
      ++n_vectors;
    }
    EXPECT_GT(n_vectors, 40U);
    EXPECT_EQ(texts.find(kSeparator, begin), std::string::npos) << name << ": more texts than lines of ids";
  }
}

TEST_F(TokenizerConformance, LoadsALargeVocabularyQuickly) {
  const GgufFile file = GgufFile::open(folder_ / "qwen2.gguf").value();
  const TokenizerData data = read_tokenizer_data(file.metadata()).value();
  const auto start = std::chrono::steady_clock::now();
  const auto tokenizer = Tokenizer::create(data);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  ASSERT_TRUE(tokenizer);
  RecordProperty("load_ms", static_cast<int>(elapsed.count() * 1000));
  EXPECT_LT(elapsed.count(), 3.0);  // about 0.1 s; sanitizers need their share
}

TEST(TheDemoModelsTokenizer, GivesTheReferenceIds) {
  const fs::path folder = HALOD_DEMO_REFERENCE_DIR;
  const fs::path cases = folder / "reference" / "tokenizer.json";
  if (!fs::exists(cases)) GTEST_SKIP() << "no demo reference at " << cases;
  const Tokenizer tokenizer = open_tokenizer(folder / "demo-moe-Q8_0.gguf");
  size_t n_cases = 0;
  const json::value parsed = json::parse(read_text(cases));
  for (const json::value& item : parsed.as_array()) {
    const std::string_view text = item.at("text").as_string();
    // The reference lists special tokens in text as their ids.
    const auto ids = tokenizer.encode(text, {.parse_special = true}).value();
    EXPECT_EQ(ids, ids_of(item.at("ids"))) << text;
    EXPECT_EQ(tokenizer.decode(ids), text);
    ++n_cases;
  }
  EXPECT_GT(n_cases, 30U);
}

}  // namespace
}  // namespace halod
