#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "kernels/hip/weight_layout.h"
#include "tests/kernels/hip/gpu_formats.h"
#include "tests/support/random_values.h"

namespace halod::hip {
namespace {

class EveryRowLayout : public testing::TestWithParam<Format> {};

TEST_P(EveryRowLayout, KeepsEveryBitOfTheFile) {
  const FormatTraits& format = traits(GetParam());
  const RowLayout& layout = *find_row_layout(GetParam());
  for (const int64_t blocks : {1, 2, 3, 8, 13}) {
    const int64_t cols = blocks * format.block_elements;
    std::vector<std::byte> file(static_cast<size_t>(format.row_bytes(cols))), back(file.size());
    // Any bits, not only those that an encoder makes.
    uint32_t state = 17;
    for (std::byte& byte : file)
      byte = static_cast<std::byte>((state = state * 1664525U + 1013904223U) >> 24);
    std::vector<std::byte> row(static_cast<size_t>(layout.row_bytes(cols)), std::byte{0xa5});
    layout.pack_row(file.data(), cols, row.data());
    layout.unpack_row(row.data(), cols, back.data());
    EXPECT_EQ(file, back) << cols << " columns";
    EXPECT_EQ(row.size() % 16, 0U);
    EXPECT_LT(row.size() - file.size(), 48U) << "padding of the two or three parts at most";
  }
}

TEST_P(EveryRowLayout, WritesEveryByteOfARow) {
  const FormatTraits& format = traits(GetParam());
  const RowLayout& layout = *find_row_layout(GetParam());
  const int64_t cols = 5 * format.block_elements;
  const std::vector<std::byte> file(static_cast<size_t>(format.row_bytes(cols)), std::byte{0x3c});
  std::vector<std::byte> a(static_cast<size_t>(layout.row_bytes(cols)), std::byte{0}),
      b(a.size(), std::byte{0xff});
  layout.pack_row(file.data(), cols, a.data());
  layout.pack_row(file.data(), cols, b.data());
  EXPECT_EQ(a, b);
}

INSTANTIATE_TEST_SUITE_P(Formats, EveryRowLayout, testing::ValuesIn(gpu_formats()),
                         [](const auto& test) { return std::string(traits(test.param).name); });

}  // namespace
}  // namespace halod::hip
