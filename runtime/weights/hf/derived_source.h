// Tensors of GGUF's that are made of another's: rows in another order, or values changed one by one.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/weights/hf/tensor_source.h"

namespace halod {

/// The rows of each head, which pair i with i + head_dim / 2 in rotary embedding, so that neighbours are the
/// pairs: rows 0, head_dim / 2, 1, head_dim / 2 + 1, … That is the order of GGUF's llama files. REQUIRES:
/// `rows` is of one or two dimensions; head_dim is even and divides the first.
std::unique_ptr<const TensorSource> make_neighbour_pairs(std::unique_ptr<const TensorSource> rows,
                                                         int64_t head_dim);

/// Of each matrix of [experts, n, cols] or of [n, cols] the rows `chosen`, in their order. REQUIRES: they are
/// in 0 to n - 1, and at least one.
std::unique_ptr<const TensorSource> make_chosen_rows(std::unique_ptr<const TensorSource> matrices,
                                                     std::vector<int64_t> chosen);
/// The same of the values of each row of [experts, n], which are floats.
std::unique_ptr<const TensorSource> make_chosen_values(std::unique_ptr<const TensorSource> rows,
                                                       std::vector<int64_t> chosen);

/// Without its extents of 1 but the last.
std::unique_ptr<const TensorSource> make_flat(std::unique_ptr<const TensorSource> source);

/// change(x) of each value, F32. REQUIRES: `values` are floats (format_of_dtype()).
std::unique_ptr<const TensorSource> make_changed_values(std::unique_ptr<const TensorSource> values,
                                                        float (*change)(float));

}  // namespace halod
