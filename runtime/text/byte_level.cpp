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

std::optional<std::string> decode_byte_level(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  while (!text.empty()) {
    const Utf8Step step = next_utf8(text);
    if (step.kind != Utf8Kind::kValid || step.code_point >= kAlphabetEnd) return std::nullopt;
    const int byte = kAlphabet.byte_by_character[step.code_point];
    if (byte < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(static_cast<uint8_t>(byte)));
    text.remove_prefix(step.n_bytes);
  }
  return bytes;
}

std::string encode_byte_level(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) append_utf8(text, kAlphabet.character_by_byte[static_cast<uint8_t>(byte)]);
  return text;
}

}  // namespace halod
