#include "cli/pull/selection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace halod::cli {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<HubFile> repository(std::vector<std::string> paths) {
  std::vector<HubFile> files;
  for (std::string& path : paths) files.push_back({.path = std::move(path), .bytes = 1000});
  return files;
}

std::vector<std::string> paths_of(const ModelFiles& model) {
  std::vector<std::string> paths;
  for (const HubFile& file : model.files) paths.push_back(file.path);
  return paths;
}

std::vector<std::string> names_of(const std::vector<ModelFiles>& models) {
  std::vector<std::string> names;
  for (const ModelFiles& model : models) names.push_back(model.name);
  return names;
}

const std::vector<HubFile> kQuantised =
    repository({".gitattributes", "README.md", "M-BF16-00002-of-00002.gguf", "M-BF16-00001-of-00002.gguf",
                "M-IQ4_XS.gguf", "M-Q4_K_M.gguf", "M-UD-Q4_K_XL.gguf", "UD/M-Q8_0.gguf",
                "imatrix_unsloth.gguf", "mmproj-F16.gguf", "config.json"});

TEST(ModelsAmong, GathersPartsAndLeavesOutWhatIsNoLanguageModel) {
  const auto models = models_among(kQuantised);
  EXPECT_THAT(names_of(models), ElementsAre("M-BF16.gguf", "M-IQ4_XS.gguf", "M-Q4_K_M.gguf",
                                            "M-UD-Q4_K_XL.gguf", "UD/M-Q8_0.gguf"));
  EXPECT_THAT(paths_of(models.front()),
              ElementsAre("M-BF16-00001-of-00002.gguf", "M-BF16-00002-of-00002.gguf"));
  EXPECT_EQ(models.front().bytes(), 2000);
}

TEST(ModelsAmong, ACheckpointIsItsTopFolderWithConfigurationAndTokenizer) {
  const auto models = models_among(repository(
      {"README.md", "chat_template.jinja", "config.json", "consolidated.safetensors", "merges.txt",
       "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json",
       "onnx/model.safetensors", "original/config.json", "pytorch_model.bin", "tokenizer.json"}));
  ASSERT_THAT(names_of(models), ElementsAre("safetensors"));
  EXPECT_THAT(
      paths_of(models.front()),
      ElementsAre("chat_template.jinja", "config.json", "merges.txt", "model-00001-of-00002.safetensors",
                  "model-00002-of-00002.safetensors", "model.safetensors.index.json", "tokenizer.json"));
}

TEST(ModelsAmong, ANameThatOnlyLooksLikeAPartIsTheModelsOwn) {
  EXPECT_THAT(
      names_of(models_among(repository({"a-1-of-3.gguf", "b-0000x-of-00003.gguf", "-00001-of-00003.gguf"}))),
      ElementsAre("-00001-of-00003.gguf", "a-1-of-3.gguf", "b-0000x-of-00003.gguf"));
}

struct Choice {
  std::string selection, name;
};

class AChoice : public testing::TestWithParam<Choice> {};

TEST_P(AChoice, FindsTheModel) {
  const auto model = choose_model(kQuantised, GetParam().selection, "o/m");
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(model->name, GetParam().name);
}

INSTANTIATE_TEST_SUITE_P(OfAQuantisation, AChoice,
                         testing::Values(Choice{"", "M-Q4_K_M.gguf"}, Choice{"Q4_K_M", "M-Q4_K_M.gguf"},
                                         Choice{"iq4_xs", "M-IQ4_XS.gguf"}, Choice{"Q8_0", "UD/M-Q8_0.gguf"},
                                         Choice{"UD-Q4_K_XL", "M-UD-Q4_K_XL.gguf"},
                                         Choice{"bf16", "M-BF16.gguf"},
                                         Choice{"M-BF16-00002-of-00002.gguf", "M-BF16.gguf"},
                                         Choice{"M-Q8_0.gguf", "UD/M-Q8_0.gguf"},
                                         Choice{"UD/M-Q8_0.gguf", "UD/M-Q8_0.gguf"}));

TEST(ChooseModel, AMissingOneIsAnsweredWithThoseThatThereAre) {
  const auto model = choose_model(kQuantised, "Q4_0", "o/m");
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(model.error().message,
              AllOf(HasSubstr("o/m has no 'Q4_0'"), HasSubstr("M-Q4_K_M.gguf  (1000 B)")));
  // Not the end of a word, and not of the files left out.
  EXPECT_FALSE(choose_model(kQuantised, "4_K_M", "o/m"));
  EXPECT_FALSE(choose_model(kQuantised, "mmproj-F16.gguf", "o/m"));
}

TEST(ChooseModel, SeveralThatAreMeantAreNamed) {
  const auto files = repository({"A-Q8_0.gguf", "B-Q8_0.gguf"});
  for (const char* selection : {"", "Q8_0"}) {
    const auto model = choose_model(files, selection, "o/m");
    ASSERT_FALSE(model) << selection;
    EXPECT_EQ(model.error().code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(model.error().message, AllOf(HasSubstr("A-Q8_0.gguf"), HasSubstr("B-Q8_0.gguf")));
  }
}

TEST(ChooseModel, TheOnlyModelOrTheCheckpointNeedsNoName) {
  EXPECT_EQ(choose_model(repository({"x-Q2_K.gguf"}), "", "o/m")->name, "x-Q2_K.gguf");
  const auto both = repository({"config.json", "model.safetensors", "x-Q2_K.gguf"});
  EXPECT_EQ(choose_model(both, "", "o/m")->name, "safetensors");
  EXPECT_EQ(choose_model(both, "q2_k", "o/m")->name, "x-Q2_K.gguf");
  EXPECT_EQ(choose_model(both, "model.safetensors", "o/m")->name, "safetensors");
  const auto none = choose_model(repository({"README.md", "pytorch_model.bin"}), "", "o/m");
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message, HasSubstr("neither GGUF files nor a safetensors checkpoint"));
}

}  // namespace
}  // namespace halod::cli
