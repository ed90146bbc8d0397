// A tiny random-weight model in a file of its own.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <string>

#include "bench/synthetic_model.h"

namespace halod::test {

class TemporaryModel {
 public:
  TemporaryModel(const std::string& shape, const std::string& recipe)
      : path_(std::filesystem::temp_directory_path() /
              ("halod-models-test-" + std::to_string(getpid()) + "-" + shape + recipe + ".gguf")) {
    const ModelShape& found = *find_model_shape(shape);
    SyntheticModel(
        {.shape = found, .recipe = *find_format_recipe(recipe), .n_layers = found.default_layers, .seed = 5})
        .write(path_)
        .value();
  }
  ~TemporaryModel() { std::filesystem::remove(path_); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace halod::test
