#include "cli/pull/hub_token.h"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>

namespace halod::cli {
namespace {

namespace fs = std::filesystem;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

/// Its first line without blanks; nothing when the file cannot be read.
std::optional<std::string> first_line(const fs::path& path) {
  std::ifstream stream(path);
  std::string line;
  if (!stream || !std::getline(stream, line)) return std::nullopt;
  const size_t begin = line.find_first_not_of(" \t\r");
  if (begin == std::string::npos) return "";
  return line.substr(begin, line.find_last_not_of(" \t\r") + 1 - begin);
}

}  // namespace

Result<std::string> hub_token(const std::string& file) {
  if (!file.empty()) {
    const auto token = first_line(file);
    if (!token)
      return Error{ErrorCode::kIo, fmt::format("cannot read the token file {}", file), "token-file"};
    // What would end the header or mean something in it is no token.
    if (token->empty() || token->find_first_of(" \t\"") != std::string::npos) {
      return Error{ErrorCode::kInvalidArgument,
                   fmt::format("{} holds no token: its first line must be the token and nothing else", file),
                   "token-file"};
    }
    return *token;
  }
  if (const std::string token = variable("HF_TOKEN"); !token.empty()) return token;
  const std::string home = variable("HF_HOME");
  const fs::path folder = home.empty() ? fs::path(variable("HOME")) / ".cache/huggingface" : fs::path(home);
  return first_line(folder / "token").value_or("");
}

}  // namespace halod::cli
