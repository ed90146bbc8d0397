#include "runtime/text/jinja/text.h"

#include <fmt/format.h>

#include <algorithm>

#include "runtime/text/utf8.h"

namespace halod::jinja {
namespace {

bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
char to_upper(char c) { return is_lower(c) ? static_cast<char>(c - 'a' + 'A') : c; }
char to_lower(char c) { return is_upper(c) ? static_cast<char>(c - 'A' + 'a') : c; }

bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0U) == 0x80; }

/// The last character of `text`, which is not empty.
std::string_view last_character(std::string_view text) {
  size_t begin = text.size() - 1;
  while (begin > 0 && text.size() - begin < 4 && is_continuation(text[begin])) --begin;
  const std::string_view tail = text.substr(begin);
  return next_utf8(tail).n_bytes == tail.size() ? tail : text.substr(text.size() - 1);
}

bool contains_character(const std::string* set, std::string_view character) {
  if (set == nullptr) return is_space(next_utf8(character).code_point);
  return set->find(character) != std::string::npos;
}

}  // namespace

std::vector<std::string_view> characters(std::string_view text) {
  std::vector<std::string_view> result;
  while (!text.empty()) {
    const size_t n_bytes = next_utf8(text).n_bytes;
    result.push_back(text.substr(0, n_bytes));
    text.remove_prefix(n_bytes);
  }
  return result;
}

size_t n_characters(std::string_view text) {
  size_t n = 0;
  while (!text.empty()) {
    text.remove_prefix(next_utf8(text).n_bytes);
    ++n;
  }
  return n;
}

bool is_space(char32_t c) {
  return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

std::string_view strip_left(std::string_view text, const std::string* set) {
  while (!text.empty()) {
    const size_t n_bytes = next_utf8(text).n_bytes;
    if (!contains_character(set, text.substr(0, n_bytes))) break;
    text.remove_prefix(n_bytes);
  }
  return text;
}

std::string_view strip_right(std::string_view text, const std::string* set) {
  while (!text.empty()) {
    const std::string_view last = last_character(text);
    if (!contains_character(set, last)) break;
    text.remove_suffix(last.size());
  }
  return text;
}

std::string upper(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), to_upper);
  return result;
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), to_lower);
  return result;
}

std::string capitalize(std::string_view text) {
  std::string result = lower(text);
  if (!result.empty()) result.front() = to_upper(result.front());
  return result;
}

std::string title(std::string_view text) {
  std::string result = lower(text);
  bool in_word = false;
  for (char& c : result) {
    if (!in_word) c = to_upper(c);
    in_word = is_lower(c) || is_upper(c) || static_cast<unsigned char>(c) >= 0x80;
  }
  return result;
}

std::string quoted(std::string_view text) {
  const bool has_single = text.find('\'') != std::string_view::npos;
  const char quote = has_single && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string result(1, quote);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == quote || c == '\\') {
      result += '\\';
      result += c;
    } else if (c == '\n') {
      result += "\\n";
    } else if (c == '\r') {
      result += "\\r";
    } else if (c == '\t') {
      result += "\\t";
    } else if (byte < 0x20 || byte == 0x7F) {
      result += fmt::format("\\x{:02x}", byte);
    } else {
      result += c;
    }
  }
  result += quote;
  return result;
}

std::string replace_all(std::string_view text, std::string_view from, std::string_view to,
                        int64_t max_count) {
  std::string result;
  if (from.empty()) {
    // Python puts `to` around every character.
    int64_t n = 0;
    for (const std::string_view character : characters(text)) {
      if (max_count < 0 || n++ < max_count) result += to;
      result += character;
    }
    if (max_count < 0 || n < max_count) result += to;
    return result;
  }
  for (int64_t n = 0; max_count < 0 || n < max_count; ++n) {
    const size_t found = text.find(from);
    if (found == std::string_view::npos) break;
    result += text.substr(0, found);
    result += to;
    text.remove_prefix(found + from.size());
  }
  result += text;
  return result;
}

std::vector<size_t> slice_indices(int64_t n, const SliceBounds& bounds) {
  const bool forward = bounds.step > 0;
  const auto resolve = [n, forward](const int64_t* bound, int64_t fallback) {
    if (bound == nullptr) return fallback;
    const int64_t idx = *bound < 0 ? std::max(*bound, -n) + n : *bound;
    if (*bound < -n) return forward ? int64_t{0} : int64_t{-1};
    return forward ? std::min(idx, n) : std::min(idx, n - 1);
  };
  const int64_t start = resolve(bounds.start, forward ? 0 : n - 1);
  const int64_t stop = resolve(bounds.stop, forward ? n : -1);
  std::vector<size_t> indices;
  // Steps longer than the sequence are the same as its length; so `i += step` cannot overflow.
  const int64_t step = std::clamp(bounds.step, -n - 1, n + 1);
  for (int64_t i = start; forward ? i < stop : i > stop; i += step) indices.push_back(static_cast<size_t>(i));
  return indices;
}

}  // namespace halod::jinja
