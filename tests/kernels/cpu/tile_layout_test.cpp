#include "kernels/cpu/tile_layout.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace halod {
namespace {

class EveryTileLayout : public testing::TestWithParam<Format> {};

TEST_P(EveryTileLayout, GivesBackEveryBitOfEveryRow) {
  const TileLayout& layout = *find_tile_layout(GetParam());
  const FormatTraits& format = traits(GetParam());
  std::mt19937 generator(7);
  for (int64_t n_blocks : {1, 2, 5}) {
    for (int64_t n_rows : {1, 15, 16}) {
      const int64_t cols = n_blocks * std::max<int64_t>(format.block_elements, 32),
                    row_bytes = format.row_bytes(cols);
      std::vector<std::byte> rows(static_cast<size_t>(n_rows * row_bytes));
      for (std::byte& b : rows) b = static_cast<std::byte>(generator());
      std::vector<std::byte> tile(static_cast<size_t>(layout.tile_bytes(cols)), std::byte{0xaa});
      layout.pack(rows.data(), row_bytes, n_rows, cols, tile.data());
      for (int64_t row = 0; row < 16; ++row) {
        std::vector<std::byte> blocks(static_cast<size_t>(row_bytes), std::byte{0x55});
        layout.unpack_row(tile.data(), row, cols, blocks.data());
        const auto expected = row < n_rows ? std::vector<std::byte>(rows.begin() + row * row_bytes,
                                                                    rows.begin() + (row + 1) * row_bytes)
                                           : blocks;
        EXPECT_EQ(blocks, expected) << "row " << row << " of " << n_rows << ", " << n_blocks << " blocks";
        if (row >= n_rows) {
          std::vector<float> padding(static_cast<size_t>(cols));
          format.dequantize(blocks.data(), cols, padding.data());
          for (float value : padding) ASSERT_EQ(value, 0.0F) << "padding row " << row;
        }
      }
    }
  }
}

TEST_P(EveryTileLayout, TakesNoMoreBytesThanTheFile) {
  const TileLayout& layout = *find_tile_layout(GetParam());
  EXPECT_EQ(layout.matrix_bytes(768, 2048), 768 * traits(GetParam()).row_bytes(2048));
}

std::vector<Format> formats_with_tiles() {
  std::vector<Format> formats;
  for (const FormatTraits& format : all_formats()) {
    if (find_tile_layout(format.format)) formats.push_back(format.format);
  }
  return formats;
}

INSTANTIATE_TEST_SUITE_P(Formats, EveryTileLayout, testing::ValuesIn(formats_with_tiles()),
                         [](const auto& param) { return std::string(traits(param.param).name); });

}  // namespace
}  // namespace halod
