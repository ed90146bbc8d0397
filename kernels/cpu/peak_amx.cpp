// The matrix unit without loads, stores and scales between its products: four independent sums, because one
// waits for itself.
#include "kernels/cpu/matrix_unit.h"
#include "kernels/cpu/tables.h"

namespace halod::HALOD_ISA {

void integer_peak(const PeakArgs& args) {
  constexpr int kSums = 4, kTokens = 4, kCodes = 5, kBytes = 16 * 64;
  constexpr int64_t kProducts = kSums * 16 * 16 * 64;  // 16 tokens, 16 rows, 64 columns
  alignas(64) int8_t bytes[kBytes];
  for (int i = 0; i < kBytes; ++i) bytes[i] = static_cast<int8_t>(i % 100);
  alignas(64) int32_t dots[16 * 16];
  TileConfiguration configuration;
  for (int tile = 0; tile <= kCodes; ++tile) configuration.set(tile, 16, 64);
  static_assert(kTokens == 4 && kCodes == 5, "the intrinsics want literals");
  configuration.load();
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_loadd(4, bytes, 64);
  _tile_loadd(5, bytes, 64);
  for (int64_t n = args.n_rounds * kIntegerProductsPerRound; n > 0; n -= kProducts) {
    _tile_dpbsud(0, 4, 5);
    _tile_dpbsud(1, 4, 5);
    _tile_dpbsud(2, 4, 5);
    _tile_dpbsud(3, 4, 5);
  }
  _tile_stored(0, dots, 64);
  _tile_release();
  for (int i = 0; i < 16; ++i) args.result[i] = static_cast<float>(dots[i]);
}

}  // namespace halod::HALOD_ISA
