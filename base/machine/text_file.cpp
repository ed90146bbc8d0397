#include "base/machine/text_file.h"

#include <algorithm>
#include <charconv>
#include <fstream>

namespace halod {

namespace fs = std::filesystem;

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  for (text = trimmed(text); !text.empty();) {
    const size_t length = std::min(text.find_first_of(" \t"), text.size());
    words.emplace_back(text.substr(0, length));
    text = trimmed(text.substr(length));
  }
  return words;
}

std::optional<uint64_t> parse_number(std::string_view text) {
  text = trimmed(text);
  const bool is_hexadecimal = text.starts_with("0x") || text.starts_with("0X");
  if (is_hexadecimal) text.remove_prefix(2);
  uint64_t number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, is_hexadecimal ? 16 : 10);
  if (error != std::errc()) return std::nullopt;  // "max" of a control group, and what is not there
  return number;
}

std::optional<std::string> read_line(const fs::path& file) {
  std::ifstream stream(file);
  std::string line;
  if (!std::getline(stream, line)) return std::nullopt;
  const std::string_view text = trimmed(line);
  return text.empty() ? std::nullopt : std::optional<std::string>(text);
}

std::optional<uint64_t> read_number(const fs::path& file) {
  const auto line = read_line(file);
  return line ? parse_number(*line) : std::nullopt;
}

std::vector<std::string> read_lines(const fs::path& file) {
  std::vector<std::string> lines;
  std::ifstream stream(file);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::optional<std::string> find_value(const fs::path& file, std::string_view key) {
  std::ifstream stream(file);
  for (std::string line; std::getline(stream, line);) {
    if (line.starts_with(key)) return std::string(trimmed(std::string_view(line).substr(key.size())));
  }
  return std::nullopt;
}

std::vector<fs::path> list_folder(const fs::path& folder, std::string_view prefix) {
  std::vector<fs::path> found;
  std::error_code ec;
  for (fs::directory_iterator it(folder, ec), end; !ec && it != end; it.increment(ec)) {
    if (it->path().filename().string().starts_with(prefix)) found.push_back(it->path());
  }
  std::ranges::sort(found);
  return found;
}

}  // namespace halod
