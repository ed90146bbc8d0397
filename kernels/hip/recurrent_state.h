// What the recurrent layers' kernels share: which rows a launch has of a sequence, and a head's state in
// registers.
#pragma once

#include "kernels/hip/args.h"
#include "kernels/hip/dialect/gpu.h"
#include "kernels/hip/recurrent_args.h"

namespace halod::hip {

/// What a launch has of a sequence's rows, in the batch.
struct SequenceRows {
  int first, end;
  bool is_start;  ///< of the sequence: there is no state yet

  HALOD_DEVICE SequenceRows(const SequencePart& part, const StateSequence& sequence) {
    const int last = part.first + part.n_rows < sequence.n_rows ? part.first + part.n_rows : sequence.n_rows;
    first = sequence.first_row + part.first;
    end = sequence.first_row + last;
    is_start = sequence.n_past == 0 && part.first == 0;
  }
};

HALOD_DEVICE float softplus(float x) {
  if (x > 20.0F) return x;
  const float y = gpu::exp(x);
  // Where 1 + y would lose y's digits, five terms are within 2^-24.
  if (y < 0.03125F) {
    float sum = gpu::fma(y, 0.2F, -0.25F);
    sum = gpu::fma(y, sum, 1.0F / 3.0F);
    sum = gpu::fma(y, sum, -0.5F);
    return gpu::fma(y * y, sum, y);
  }
  return gpu::log(1.0F + y);
}

/// The lane's first column of its wave's; the other one follows.
HALOD_DEVICE int state_column() { return gpu::lane() % kStateLanes * kStateColumns; }
/// Whether it writes its columns' results: other lanes have the same ones.
HALOD_DEVICE bool writes_state_column() { return gpu::lane() < kStateLanes; }

/// Of the lanes that share the column; the same bits in all.
HALOD_DEVICE float sum_of_column(const float (&sums)[4]) {
  static_assert(kStateRowLanes == 4);
  float sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  sum += gpu::shfl_xor(sum, kStateLanes);
  return sum + gpu::shfl_xor(sum, 2 * kStateLanes);
}

/// One wave's columns of a head's state: two columns' quarters in each lane, so that keys and queries are
/// read from shared memory for two (a wave's 16 reads of 16 bytes a token then take half the cycles of its
/// 256 products).
template <int most_rows>
class HeadState {
 public:
  static constexpr int kPieces = most_rows / kStateRowMultiple;
  static_assert(kStateColumns == 2);

  /// n_rows: a multiple of kStateRowMultiple up to most_rows; rows beyond it stay zero.
  HALOD_DEVICE HeadState(float* columns, int n_rows)
      : memory_(columns + gpu::lane() * 4), n_pieces_(n_rows / kStateRowMultiple) {}

  HALOD_DEVICE void load(bool is_start) {
#pragma unroll
    for (int c = 0; c < kStateColumns; ++c) {
#pragma unroll
      for (int p = 0; p < kPieces; ++p) {
        gpu::Piece piece = {};
        if (!is_start && p < n_pieces_) piece = gpu::load_piece(place(c, p));
#pragma unroll
        for (int j = 0; j < 4; ++j) values[c][p][j] = gpu::as_float(piece.words[j]);
      }
    }
  }
  HALOD_DEVICE void store() const {
#pragma unroll
    for (int c = 0; c < kStateColumns; ++c) {
#pragma unroll
      for (int p = 0; p < kPieces; ++p) {
        gpu::Piece piece;
#pragma unroll
        for (int j = 0; j < 4; ++j) piece.words[j] = gpu::as_bits(values[c][p][j]);
        if (p < n_pieces_) *reinterpret_cast<gpu::Piece*>(place(c, p)) = piece;
      }
    }
  }

  /// The lane's rows of piece p, of a vector over all rows in shared memory.
  HALOD_DEVICE static void load_rows(const float* vector, int p, float (&rows)[4]) {
    const int first = p * kStateRowMultiple + gpu::lane() / kStateLanes * 4;
    const gpu::Piece piece = *reinterpret_cast<const gpu::Piece*>(vector + first);
#pragma unroll
    for (int j = 0; j < 4; ++j) rows[j] = gpu::as_float(piece.words[j]);
  }

  float values[kStateColumns][kPieces][4];

 private:
  HALOD_DEVICE float* place(int c, int p) const { return memory_ + (c * n_pieces_ + p) * gpu::kWave * 4; }

  float* memory_;
  int n_pieces_;
};

}  // namespace halod::hip
