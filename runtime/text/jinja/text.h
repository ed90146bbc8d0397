// Python's view of text: code points, Unicode white space, slices. All input is taken as UTF-8; broken bytes
// count as one character each.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace halod::jinja {

/// The code points in order, borrowed from `text`.
std::vector<std::string_view> characters(std::string_view text);
size_t n_characters(std::string_view text);

bool is_space(char32_t code_point);
/// str.strip(): with no `set` white space, else any of its characters.
std::string_view strip_left(std::string_view text, const std::string* set = nullptr);
std::string_view strip_right(std::string_view text, const std::string* set = nullptr);

/// Upper and lower case of ASCII letters; all other characters stay.
std::string upper(std::string_view text);
std::string lower(std::string_view text);
/// str.capitalize and str.title, for ASCII letters.
std::string capitalize(std::string_view text);
std::string title(std::string_view text);

/// repr(): in quotes, with escapes.
std::string quoted(std::string_view text);
std::string replace_all(std::string_view text, std::string_view from, std::string_view to, int64_t max_count);

/// Start, stop and step of a slice for a sequence of n items. A missing bound is null.
struct SliceBounds {
  const int64_t* start = nullptr;
  const int64_t* stop = nullptr;
  int64_t step = 1;  ///< not 0
};
/// The indices that Python's slice would visit.
std::vector<size_t> slice_indices(int64_t n, const SliceBounds& bounds);

}  // namespace halod::jinja
