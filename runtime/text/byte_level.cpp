#include "runtime/text/byte_level.h"

#include <array>
#include <cstdint>

#include "runtime/text/utf8.h"

namespace halod {
namespace {

// Printable Latin-1 bytes stand for themselves; the other 68, in ascending order, for U+0100 and up.
constexpr bool stands_for_itself(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

constexpr int kAlphabetEnd = 0x100 + 68;

struct Alphabet {
  std::array<char32_t, 256> character_by_byte{};
  std::array<int, kAlphabetEnd> byte_by_character{};
};

constexpr Alphabet make_alphabet() {
  Alphabet alphabet;
  for (int& byte : alphabet.byte_by_character) byte = -1;
  char32_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const char32_t character = stands_for_itself(byte) ? static_cast<char32_t>(byte) : next++;
    alphabet.character_by_byte[static_cast<size_t>(byte)] = character;
    alphabet.byte_by_character[character] = byte;
  }
  return alphabet;
}

constexpr Alphabet kAlphabet = make_alphabet();

}  // namespace

bool append_decoded_byte_level(std::string_view text, std::string& bytes) {
  const size_t n_before = bytes.size();
  size_t i = 0;
  while (i < text.size()) {
    // The alphabet's characters have one or two bytes in UTF-8; this loop runs over every vocabulary that is
    // loaded.
    const auto first = static_cast<uint8_t>(text[i]);
    Utf8Step step{Utf8Kind::kValid, 1, first};
    if (first >= 0x80) step = next_utf8(text.substr(i));
    const bool in_alphabet = step.kind == Utf8Kind::kValid && step.code_point < kAlphabetEnd;
    const int byte = in_alphabet ? kAlphabet.byte_by_character[step.code_point] : -1;
    if (byte < 0) {
      bytes.resize(n_before);
      return false;
    }
    bytes.push_back(static_cast<char>(static_cast<uint8_t>(byte)));
    i += step.n_bytes;
  }
  return true;
}

std::string encode_byte_level(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) append_utf8(text, kAlphabet.character_by_byte[static_cast<uint8_t>(byte)]);
  return text;
}

}  // namespace halod
