// Which models are served, by flags, file and folder together.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "daemon/control/model_catalogue.h"
#include "daemon/service/command_line.h"
#include "tests/support/temporary_folder.h"

namespace halod {
namespace {

namespace fs = std::filesystem;

class TheModelsServed : public ::testing::Test {
 protected:
  /// With a configuration file that names `folder_`; `models` are the flags' and the list's.
  std::vector<std::string> names(const std::string& model_flag = "", const std::string& more_yaml = "") {
    std::ofstream(file_) << "models:\n  directory: " << folder_.string() << "\n" << more_yaml;
    CommandLine command_line{.flags = {.model = model_flag}, .config_file = file_};
    std::vector<std::string> found;
    for (const ModelSpec& spec : find_models(command_line.read_config().value().models).value())
      found.push_back(spec.name);
    return found;
  }

  const TemporaryFolder temporary_;  // tests run side by side
  const fs::path folder_ = temporary_.path();
  const fs::path file_ = folder_ / "halod.yaml";
};

using Names = std::vector<std::string>;

TEST_F(TheModelsServed, AreTheBundledOneWhileTheFolderIsEmpty) { EXPECT_EQ(names(), Names{"demo-moe-Q8_0"}); }

TEST_F(TheModelsServed, AreTheFoldersOwnOnceThereAreAny) {
  std::ofstream(folder_ / "mine.gguf") << "x";
  EXPECT_EQ(names(), Names{"mine"});
}

TEST_F(TheModelsServed, AreTheNamedOnesEvenIfTheFolderIsEmpty) {
  EXPECT_EQ(names("/models/given.gguf"), Names{"given"});
  EXPECT_EQ(names("", "  list: [{path: /models/listed.gguf}]\n"), Names{"listed"});
}

TEST_F(TheModelsServed, AreAnErrorWhenTheFolderIsNotThere) {
  ModelsConfig config{.directory = (folder_ / "none").string(), .bundled_model = "/models/demo.gguf"};
  EXPECT_FALSE(find_models(config));
}

}  // namespace
}  // namespace halod
