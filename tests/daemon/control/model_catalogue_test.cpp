#include "daemon/control/model_catalogue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/small_hf_model.h"
#include "tests/support/temporary_folder.h"

namespace halod {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> names_of(const std::vector<ModelSpec>& models) {
  std::vector<std::string> names;
  for (const ModelSpec& model : models) names.push_back(model.name);
  return names;
}

TEST(AModelName, IsTheFilesWithoutItsEndingAndPart) {
  EXPECT_EQ(model_name_from("models/Qwen3-30B-00001-of-00002.gguf"), "Qwen3-30B");
  EXPECT_EQ(model_name_from("/x/demo-moe-Q8_0.gguf"), "demo-moe-Q8_0");
  EXPECT_EQ(model_name_from("weights.bin"), "weights.bin");
  EXPECT_EQ(model_name_from("/models/Qwen3-0.6B"), "Qwen3-0.6B");
  EXPECT_EQ(model_name_from("/cache/models--Qwen--Qwen3-0.6B/snapshots/c1899de2"), "Qwen3-0.6B");
}

TEST(TheModelCatalogue, ListsConfiguredModelsFirstAndThenTheFolderOnce) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder.path() / "qwen");
  for (const char* name :
       {"b.gguf", "a.gguf", "notes.txt", "qwen/c-00001-of-00002.gguf", "qwen/c-00002-of-00002.gguf"})
    folder.write_file(name, "");
  ModelsConfig config{.directory = folder.path().string()};
  config.list.push_back({.path = (folder.path() / "b.gguf").string(), .name = "second", .aliases = {"a"}});
  const auto models = find_models(config).value();
  EXPECT_THAT(names_of(models), ElementsAre("second", "c")) << "'a' is taken by an alias";
  EXPECT_EQ(models[1].path, folder.path() / "qwen/c-00001-of-00002.gguf");
}

TEST(TheModelCatalogue, ListsFoldersThatAreModelsWhereverTheyLie) {
  const TemporaryFolder folder;
  for (const char* name : {"org/dense", "moe", "no-weights"}) {
    std::filesystem::create_directories(folder.path() / name);
    HfFiles files = small_hf_model(false, std::string_view(name) == "moe");
    if (std::string_view(name) == "no-weights") files.erase("model.safetensors");
    write_files(files, folder.path() / name);
  }
  const auto models = find_models({.directory = folder.path().string() + "/"}).value();
  EXPECT_THAT(names_of(models), ElementsAre("moe", "dense"));
  EXPECT_EQ(models[0].path, folder.path() / "moe");

  ModelsConfig itself{.directory = (folder.path() / "moe").string()};
  itself.list.push_back({.path = (folder.path() / "org/dense/").string()});
  EXPECT_THAT(names_of(find_models(itself).value()), ElementsAre("dense", "moe"));

  const auto info = read_model_file_info(models[0].path).value();
  EXPECT_EQ(info.architecture, "qwen3");
  EXPECT_EQ(info.quantization, "BF16");
  EXPECT_EQ(info.context_length, 64);
  EXPECT_EQ(info.size_bytes, 2 * static_cast<uint64_t>(info.n_parameters));
}

TEST(TheModelCatalogue, RefusesANameThatMeansTwoModels) {
  ModelsConfig config;
  config.list.push_back({.path = "x.gguf", .aliases = {"chat"}});
  config.list.push_back({.path = "y.gguf", .name = "chat"});
  const auto models = find_models(config);
  ASSERT_FALSE(models);
  EXPECT_THAT(models.error().message, HasSubstr("'chat'"));
}

TEST(TheModelCatalogue, SaysWhichFolderCannotBeRead) {
  const auto models = find_models({.directory = "/nonexistent/models"});
  ASSERT_FALSE(models);
  EXPECT_THAT(models.error().message, HasSubstr("/nonexistent/models"));
}

TEST(AModelFile, TellsWhatItIs) {
  const auto info = read_model_file_info(HALOD_SOURCE_DIR "/models/demo-moe-Q8_0.gguf").value();
  EXPECT_EQ(info.architecture, "qwen3moe");
  EXPECT_EQ(info.quantization, "Q8_0");
  EXPECT_EQ(info.context_length, 1024);
  EXPECT_EQ(info.n_parameters, 8'399'616);
  EXPECT_EQ(info.size_bytes, 8'956'928U);
}

}  // namespace
}  // namespace halod
