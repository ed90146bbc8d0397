// Reading UTF-8 one code point at a time, from text that may be broken.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace halod {

inline constexpr char32_t kReplacementCharacter = 0xFFFD;
inline constexpr std::string_view kReplacementUtf8 = "\xEF\xBF\xBD";

enum class Utf8Kind : uint8_t {
  kValid,       ///< a whole code point
  kInvalid,     ///< bytes that no continuation can make valid
  kIncomplete,  ///< the text ends inside a code point that could still become valid
};

/// What stands at the beginning of a text. `n_bytes` is at least 1; an invalid sequence covers its "maximal
/// subpart" (Unicode 15, section 3.9), so that every decoder puts the same number of U+FFFD in its place.
struct Utf8Step {
  Utf8Kind kind = Utf8Kind::kInvalid;
  size_t n_bytes = 1;
  char32_t code_point = kReplacementCharacter;
};

/// REQUIRES: `text` is not empty. Surrogates and overlong forms are invalid. Thread: any.
Utf8Step next_utf8(std::string_view text);

/// The number of leading bytes that are well-formed UTF-8.
size_t valid_utf8_prefix(std::string_view text);

/// Appends the code point's bytes; U+FFFD for surrogates and values past U+10FFFF.
void append_utf8(std::string& out, char32_t code_point);

}  // namespace halod
