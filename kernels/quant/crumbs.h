// Where Q2_K, Q3_K and TQ2_0 keep two bits of each of 256 weights in 64 bytes: weight 128 h + 32 r + l in
// bits 2 r and 2 r + 1 of byte 32 h + l.
#pragma once

#include <cstdint>

namespace halod {

inline unsigned crumb_at(const uint8_t bytes[64], int i) {
  return (static_cast<unsigned>(bytes[i / 128 * 32 + i % 32]) >> (i % 128 / 32 * 2)) & 3U;
}
/// ORs two bits into bytes that were zero.
inline void set_crumb(uint8_t bytes[64], int i, unsigned bits) {
  uint8_t& byte = bytes[i / 128 * 32 + i % 32];
  byte = static_cast<uint8_t>(byte | bits << (i % 128 / 32 * 2));
}

}  // namespace halod
