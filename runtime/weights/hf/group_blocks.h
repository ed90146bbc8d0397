// Blocks of INT4 and INT8 (kernels/quant/int_groups.h) out of the words that files pack codes into.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

#include "kernels/quant/formats.h"
#include "kernels/quant/half.h"

namespace halod {

inline constexpr int64_t kGroupCodes = 32;       ///< that are packed at once
inline constexpr int64_t kBlockHeaderBytes = 3;  ///< f16 scale, zero
inline constexpr std::string_view kScaleIsNoNumber = "holds a scale that is not a finite number";

/// The format with the largest blocks that divide groups of so many weights; nothing: there is none.
inline std::optional<Format> find_group_format(int bits, int64_t group_size) {
  struct Row {
    int64_t group;
    Format int4, int8;
  };
  constexpr Row kRows[] = {{128, Format::kInt4G128, Format::kInt8G128},
                           {64, Format::kInt4G64, Format::kInt8G64},
                           {32, Format::kInt4G32, Format::kInt8G32}};
  for (const Row& row : kRows) {
    if (group_size % row.group == 0) return bits == 4 ? row.int4 : row.int8;
  }
  return std::nullopt;
}

/// False when the scale, f16 or bf16, is no number in f16.
inline bool put_block_header(std::byte* block, bool is_bf16, uint16_t scale, uint32_t zero) {
  if (is_bf16) scale = f32_to_f16(bf16_to_f32(scale));
  std::memcpy(block, &scale, sizeof scale);
  block[2] = static_cast<std::byte>(zero);
  return std::isfinite(f16_to_f32(scale));
}

/// 32 codes of four bits, eight to a word from the low bits up.
inline void put_codes4(const std::array<uint32_t, 4>& words, std::byte* to) {
  for (size_t half = 0; half < 2; ++half) {
    for (int j = 0; j < 8; ++j) {
      *to++ = static_cast<std::byte>((words[half] >> 4 * j & 0x0f) | (words[half + 2] >> 4 * j & 0x0f) << 4);
    }
  }
}

}  // namespace halod
