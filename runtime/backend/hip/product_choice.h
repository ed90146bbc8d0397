// Which kernels take rows through a weight, by how many tokens there are: what tuning chooses on a GPU.
//
// Decode's kernels and each cutting of a prompt into tiles give the same bits (kernels/hip/prompt_tile.h,
// which the self-test checks), so the choice may change between any two steps.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/hip/kernel_table.h"
#include "kernels/quant/formats.h"
#include "runtime/backend/tuning/tuning_key.h"
#include "runtime/weights/checkpoint.h"

namespace halod::hip {

enum class Product : uint8_t {
  kLinear,
  kGateUp,  ///< both halves of a feed-forward layer's first products
  kUp,      ///< the same of a layer without a gate
};

/// Weights that are tuned as one.
struct ProductShape {
  Product product = Product::kLinear;
  Format format = Format::kF32;
  int64_t cols = 0;
  int64_t rows = 0;  ///< of one matrix, rounded up to a power of two
  int64_t n_experts = 1, n_per_token = 1;

  bool has_experts() const { return n_experts > 1; }
  WeightKind kind() const;
  friend auto operator<=>(const ProductShape&, const ProductShape&) = default;
};

/// What the tensor takes part in, told by its name, which is GGUF's, and the rows of one of its matrices.
/// Nothing: no choice of kernels concerns it, as of the router or of an up-projection whose gate decides.
struct PlacedProduct {
  ProductShape shape;
  int64_t rows = 0;
};
std::optional<PlacedProduct> placed_product(const Checkpoint& file, const TensorInfo& tensor);

/// One way to take rows through a product.
struct ProductWay {
  std::string_view name;             ///< "prompt_linear_32"; "linear", "gate_up"
  const PromptTile* tile = nullptr;  ///< nullptr: decode's kernels, a few rows at once

  friend bool operator==(const ProductWay&, const ProductWay&) = default;
};

/// Classes of tokens, finer than the CPU's: the table's order changes at 16 rows of an expert, and a class
/// should have one best tile. docs/tuning.md has them.
inline constexpr std::array<TokensClass, 9> kPromptClassesOfTokens = {{{"2-4", 4, 3},
                                                                       {"5-8", 8, 8},
                                                                       {"9-16", 16, 16},
                                                                       {"17-32", 32, 32},
                                                                       {"33-64", 64, 64},
                                                                       {"65-128", 128, 128},
                                                                       {"129-256", 256, 256},
                                                                       {"257-512", 512, 512},
                                                                       {"513-", INT64_MAX, 1024}}};

/// What runs untuned: decode's kernels for as many rows as they take at once, else the table's tile.
ProductWay untuned_way(const ProductShape& shape, int64_t n_tokens);
/// The ways worth measuring, the untuned one first; it alone where there is no choice.
std::vector<ProductWay> product_ways(const ProductShape& shape, size_t tokens_class);
TuningKey product_key(const ProductShape& shape, size_t tokens_class);

/// Of all weights of one shape. Thread: the backend's.
struct ProductChoice {
  ProductShape shape;
  struct PerTokens {
    /// Nothing: untuned_way(), whether that is known to be the best or not.
    std::optional<ProductWay> way = {};
    bool is_tuned = false;
  };
  std::array<PerTokens, kPromptClassesOfTokens.size()> by_tokens{};

  ProductWay way(int64_t n_tokens) const;
};

}  // namespace halod::hip
