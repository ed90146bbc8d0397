// The byte-level alphabet of GPT-2: vocabularies spell each byte as a printable character ("Ġ" is the space).
#pragma once

#include <string>
#include <string_view>

namespace halod {

/// Appends the bytes that `text` spells; false when it contains a character outside the alphabet (as names of
/// special tokens may), and then `bytes` is as before. Source: Radford et al. 2019, encoder.py of the GPT-2
/// release. Thread: any.
bool append_decoded_byte_level(std::string_view text, std::string& bytes);

/// The inverse: how a vocabulary spells `bytes`.
std::string encode_byte_level(std::string_view bytes);

}  // namespace halod
