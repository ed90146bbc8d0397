// A machine from a text file, as files below a temporary root.
//
// The text is a sequence of files: `== PATH [MODE]`, then the content up to the next such line. {GID} in it
// becomes the group of the files that this test creates, so that etc/group can name it. Lines before the
// first `==` are remarks.
#pragma once

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include "tests/support/temporary_folder.h"

namespace halod::test {

class RecordedMachine {
 public:
  explicit RecordedMachine(const std::filesystem::path& text_file) {
    std::ifstream text(text_file);
    if (!text) throw std::runtime_error("cannot read " + text_file.string());
    std::ofstream file;
    std::filesystem::path path;
    std::string mode;
    const auto finish = [&] {
      file.close();
      if (!mode.empty()) ::chmod(path.c_str(), static_cast<mode_t>(std::stoul(mode, nullptr, 8)));
    };
    for (std::string line; std::getline(text, line);) {
      if (line.starts_with("== ")) {
        finish();
        const size_t space = line.find(' ', 3);
        path = root() / line.substr(3, space - 3);
        mode = space == std::string::npos ? "" : line.substr(space + 1);
        std::filesystem::create_directories(path.parent_path());
        file.open(path);
      } else if (file.is_open()) {
        if (const size_t at = line.find("{GID}"); at != std::string::npos) line.replace(at, 5, gid());
        file << line << '\n';
      }
    }
    finish();
  }

  const std::filesystem::path& root() const { return folder_.path(); }
  /// Replaces or adds a file.
  void write(const std::string& path, const std::string& content) const {
    std::filesystem::create_directories((root() / path).parent_path());
    folder_.write_file(path, content);
  }
  void remove(const std::string& path) const { std::filesystem::remove_all(root() / path); }

 private:
  std::string gid() const {
    folder_.write_file(".probe", "");
    struct stat status {};
    ::stat((root() / ".probe").c_str(), &status);
    std::filesystem::remove(root() / ".probe");
    return std::to_string(status.st_gid);
  }

  TemporaryFolder folder_;
};

}  // namespace halod::test
