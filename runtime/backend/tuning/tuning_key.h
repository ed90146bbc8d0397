// What tuning tells apart: a product by the format and shape of its weights, by how many tokens it is for,
// and by the threads that share it. docs/tuning.md has the classes as a table.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "kernels/quant/formats.h"

namespace halod {

/// Classes of tokens: one, a few, and so on. A class' typical number is what it is measured with.
struct TokensClass {
  std::string_view name;
  int64_t most;
  int64_t typical;
};
inline constexpr std::array<TokensClass, 6> kTokensClasses = {{{"1", 1, 1},
                                                               {"2-4", 4, 3},
                                                               {"5-8", 8, 8},
                                                               {"9-32", 32, 24},
                                                               {"33-128", 128, 64},
                                                               {"129-", INT64_MAX, 256}}};
constexpr size_t tokens_class_of(int64_t n_tokens) {
  size_t i = 0;
  while (n_tokens > kTokensClasses[i].most) ++i;
  return i;
}

/// Matrices that are tuned as one.
struct ShapeClass {
  Format format = Format::kF32;
  int64_t cols = 0;
  int64_t rows = 0;      ///< rounded up to a power of two
  bool experts = false;  ///< one of several matrices, of which a step takes some: tasks are cut otherwise
  int n_threads = 1;

  friend auto operator<=>(const ShapeClass&, const ShapeClass&) = default;
};
ShapeClass shape_class(Format format, int64_t rows, int64_t cols, bool experts, int n_threads);

/// A result's first two fields in the file.
struct TuningKey {
  std::string operation;  ///< "Matmul_Q4_K", "MatmulExperts_Q4_K"
  std::string params;     ///< "cols_2048_rows_4096_tokens_2-4_threads_16"

  friend auto operator<=>(const TuningKey&, const TuningKey&) = default;
};
TuningKey tuning_key(const ShapeClass& shape, size_t tokens_class);

}  // namespace halod
