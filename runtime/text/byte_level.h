// The byte-level alphabet of GPT-2: vocabularies spell each byte as a printable character ("Ġ" is the space).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace halod {

/// The bytes that `text` spells; nothing when it contains a character outside the alphabet (as names of
/// special tokens may). Source: Radford et al. 2019, encoder.py of the GPT-2 release. Thread: any.
std::optional<std::string> decode_byte_level(std::string_view text);

/// The inverse: how a vocabulary spells `bytes`.
std::string encode_byte_level(std::string_view bytes);

}  // namespace halod
