// Numbers and tables for people.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace halod::cli {

inline constexpr uint64_t kGiB = uint64_t{1} << 30;

/// "512 B", "15.5 GiB", "120 GiB": powers of 1024, one decimal where it says something.
std::string format_bytes(uint64_t bytes);
/// "0.4 s", "12 s", "3 min 5 s", "2 h 10 min".
std::string format_seconds(double seconds);
/// "[#########           ]  45%", `width` characters between the brackets; `fraction` is brought into 0 … 1.
std::string format_bar(double fraction, int width);

/// Columns under a heading, each as wide as its widest cell; the last one ragged. Cells are one line.
class Table {
 public:
  explicit Table(std::vector<std::string> heading) : rows_{std::move(heading)} {}
  /// As many cells as the heading has.
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  bool empty() const { return rows_.size() == 1; }
  /// Lines, each with its end.
  std::string to_string() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

/// Code points: what a column counts, as long as nobody writes ideographs into model names.
size_t display_width(std::string_view text);

}  // namespace halod::cli
