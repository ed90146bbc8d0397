#include "runtime/text/utf8.h"

#include <cstring>

#include "base/error.h"

namespace halod {
namespace {

/// What the first byte promises: the length, and the range that the second byte must lie in (Unicode 15,
/// table 3-7).
struct LeadByte {
  uint8_t n_bytes;  // 0: not a lead byte
  uint8_t second_min;
  uint8_t second_max;
};

constexpr LeadByte lead_byte(uint8_t byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xC2) return {0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

}  // namespace

Utf8Step next_utf8(std::string_view text) {
  HALOD_ASSERT(!text.empty());
  const auto byte_at = [&text](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte_at(0);
  const LeadByte lead = lead_byte(first);
  if (lead.n_bytes == 0) return {};
  if (lead.n_bytes == 1) return {Utf8Kind::kValid, 1, first};

  char32_t code_point = first & (0x7FU >> lead.n_bytes);
  for (size_t i = 1; i < lead.n_bytes; ++i) {
    if (i == text.size()) return {Utf8Kind::kIncomplete, i, kReplacementCharacter};
    const uint8_t min = i == 1 ? lead.second_min : 0x80;
    const uint8_t max = i == 1 ? lead.second_max : 0xBF;
    if (byte_at(i) < min || byte_at(i) > max) return {Utf8Kind::kInvalid, i, kReplacementCharacter};
    code_point = (code_point << 6U) | (byte_at(i) & 0x3FU);
  }
  return {Utf8Kind::kValid, lead.n_bytes, code_point};
}

size_t valid_utf8_prefix(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    // Eight ASCII bytes at a time: most text is mostly ASCII.
    uint64_t word = 0;
    if (i + sizeof(word) <= text.size()) {
      std::memcpy(&word, text.data() + i, sizeof(word));
      if ((word & 0x8080808080808080U) == 0) {
        i += sizeof(word);
        continue;
      }
    }
    const Utf8Step step = next_utf8(text.substr(i));
    if (step.kind != Utf8Kind::kValid) break;
    i += step.n_bytes;
  }
  return i;
}

void append_utf8(std::string& out, char32_t code_point) {
  const auto push = [&out](char32_t byte) { out.push_back(static_cast<char>(static_cast<uint8_t>(byte))); };
  if (code_point > 0x10FFFF || (code_point >= 0xD800 && code_point <= 0xDFFF)) {
    out += kReplacementUtf8;
  } else if (code_point < 0x80) {
    push(code_point);
  } else if (code_point < 0x800) {
    push(0xC0 | (code_point >> 6));
    push(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    push(0xE0 | (code_point >> 12));
    push(0x80 | ((code_point >> 6) & 0x3F));
    push(0x80 | (code_point & 0x3F));
  } else {
    push(0xF0 | (code_point >> 18));
    push(0x80 | ((code_point >> 12) & 0x3F));
    push(0x80 | ((code_point >> 6) & 0x3F));
    push(0x80 | (code_point & 0x3F));
  }
}

}  // namespace halod
