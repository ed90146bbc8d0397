// The CPU's matrix unit, Intel's AMX with 8-bit integers, as the tile kernels use it; or, for machines
// without one, the same on plain memory (HALOD_EMULATES_MATRIX_UNIT: tests execute all the rest of the
// kernels by it).
//
// A tile register has 16 rows of 64 bytes. What kTiles16 holds for some columns of 16 weight rows, a byte per
// (quad of columns, row, column in quad), is what the unit wants as its second operand, row by row: nothing
// is rearranged.
#pragma once

#include <cstddef>
#include <cstdint>

#ifndef HALOD_EMULATES_MATRIX_UNIT
#include <immintrin.h>
#endif

namespace halod::HALOD_ISA {

/// Tokens that the unit takes at once.
inline constexpr int kMatrixTokens = 16;

#ifndef HALOD_EMULATES_MATRIX_UNIT
/// The sizes of the tile registers, as LDTILECFG reads them.
struct TileConfiguration {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};

  void set(int tile, int n_rows, int n_bytes) {
    rows[tile] = static_cast<uint8_t>(n_rows);
    row_bytes[tile] = static_cast<uint16_t>(n_bytes);
  }
  /// For this thread, until _tile_release().
  void load() const {
    settle_memory(this);
    _tile_loadconfig(this);
  }
  /// What was written before is in memory: the intrinsics of GCC 12 do not say how much of it they read.
  static void settle_memory(const void* of) { asm volatile("" ::"r"(of) : "memory"); }
};
static_assert(sizeof(TileConfiguration) == 64);
#endif

/// The registers set up for products over 4 * n_quads columns. The unit's state belongs to the thread, so one
/// of these lives for one call of a kernel. n_quads: 1 to 16.
template <int n_quads>
class MatrixUnit {
 public:
#ifdef HALOD_EMULATES_MATRIX_UNIT
  /// dots[16 * t + row] = sum of x[t * x_stride + column] * codes[64 * (column / 4) + 4 * row + column % 4]
  /// over the columns, for 16 tokens and 16 rows, exact. `x_stride` in bytes.
  void multiply(const int8_t* x, ptrdiff_t x_stride, const uint8_t* codes, int32_t* dots) const {
    for (int t = 0; t < kMatrixTokens; ++t) {
      for (int row = 0; row < 16; ++row) {
        int32_t dot = 0;
        for (int column = 0; column < 4 * n_quads; ++column)
          dot += x[t * x_stride + column] * codes[64 * (column / 4) + 4 * row + column % 4];
        dots[16 * t + row] = dot;
      }
    }
  }
#else
  MatrixUnit() {
    TileConfiguration configuration;
    configuration.set(0, kMatrixTokens, 64);           // dots
    configuration.set(1, kMatrixTokens, 4 * n_quads);  // tokens
    configuration.set(2, n_quads, 64);                 // codes
    configuration.load();
  }
  ~MatrixUnit() { _tile_release(); }
  MatrixUnit(const MatrixUnit&) = delete;
  MatrixUnit& operator=(const MatrixUnit&) = delete;

  void multiply(const int8_t* x, ptrdiff_t x_stride, const uint8_t* codes, int32_t* dots) const {
    TileConfiguration::settle_memory(codes);
    // The intrinsics want the registers' numbers as literals.
    _tile_zero(0);
    _tile_loadd(1, x, x_stride);
    _tile_loadd(2, codes, 64);
    _tile_dpbsud(0, 1, 2);  // signed times unsigned
    _tile_stored(0, dots, 64);
    TileConfiguration::settle_memory(dots);
  }
#endif
};

}  // namespace halod::HALOD_ISA
