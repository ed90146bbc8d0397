// Reading /proc, /sys and the system's databases below a root, where anything may be missing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace halod {

/// Without spaces and tabs around it.
std::string_view trimmed(std::string_view text);
/// Non-empty parts between spaces and tabs.
std::vector<std::string> words_of(std::string_view text);

/// Decimal, or hexadecimal after 0x; nothing when `text` begins with neither, nor when it does not fit.
std::optional<uint64_t> parse_number(std::string_view text);

/// The first line of a file, trimmed; nothing when it cannot be read or the line is empty. Thread: any.
std::optional<std::string> read_line(const std::filesystem::path& file);
/// The number that a file begins with.
std::optional<uint64_t> read_number(const std::filesystem::path& file);
std::vector<std::string> read_lines(const std::filesystem::path& file);

/// The rest of the first line that begins with `key`, trimmed.
std::optional<std::string> find_value(const std::filesystem::path& file, std::string_view key);

/// Entries whose name begins with `prefix`, by name; empty when the folder cannot be read.
std::vector<std::filesystem::path> list_folder(const std::filesystem::path& folder, std::string_view prefix);

}  // namespace halod
