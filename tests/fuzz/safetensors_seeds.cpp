// safetensors_seeds FOLDER: writes the seed corpus of safetensors_fuzz.
#include <cstdio>
#include <filesystem>
#include <iterator>

#include "tests/support/small_hf_model.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: safetensors_seeds FOLDER\n");
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  std::filesystem::create_directories(folder);
  halod::HfFiles seeds;
  for (size_t i = 0; i < std::size(halod::kFuzzedHfFiles); ++i) {
    const std::string name = halod::kFuzzedHfFiles[i];
    for (const bool is_moe : {false, true}) {
      const halod::HfFiles files = halod::small_hf_model(is_moe, name == "model.safetensors.index.json");
      seeds[name + (is_moe ? ".moe" : ".dense")] = static_cast<char>(i) + files.at(name);
    }
  }
  halod::write_files(seeds, folder);
  return 0;
}
