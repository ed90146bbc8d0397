// gguf_seeds FOLDER: writes the GGUF fuzzer's seed corpus.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "tests/support/small_gguf.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: gguf_seeds FOLDER\n");
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  std::filesystem::create_directories(folder);
  for (const halod::NamedGguf& gguf : halod::small_ggufs()) {
    std::ofstream stream(folder / (gguf.name + ".gguf"), std::ios::binary);
    stream << gguf.bytes;
    if (!stream.flush()) {
      std::fprintf(stderr, "gguf_seeds: cannot write %s\n", (folder / gguf.name).c_str());
      return 1;
    }
  }
  return 0;
}
