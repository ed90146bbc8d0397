#include "runtime/backend/hip/product_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "kernels/hip/weight_layout.h"

namespace halod::hip {
namespace {

/// Decode's kernels read the weights again for every eight rows (four of a gate and up): more of them than
/// this have never a chance against a tile.
constexpr int64_t kMostTokensForDecode = 32;
/// A tile that is less than half full is measured for nothing.
constexpr int64_t kMostEmpty = 2;

std::span<const PromptTile> tiles_of(const ProductShape& shape) {
  return shape.product == Product::kLinear ? prompt_linear_tiles(shape.kind())
                                           : prompt_gate_up_tiles(shape.kind());
}

ProductWay way_of(const PromptTile& tile) { return {kernel_row(tile.kernel).name, &tile}; }
ProductWay decode_way(const ProductShape& shape) {
  return {shape.product == Product::kLinear ? "linear" : "gate_up", nullptr};
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// The gate beside an up-projection, "blk.0.ffn_gate_exps.weight" of "blk.0.ffn_up_exps.weight".
bool has_gate_beside(const Checkpoint& file, std::string name) {
  constexpr std::string_view kUp = "ffn_up";
  return file.find_tensor(name.replace(name.find(kUp), kUp.size(), "ffn_gate")) != nullptr;
}

std::optional<Product> product_of(const Checkpoint& file, const TensorInfo& tensor) {
  const std::string& name = tensor.name;
  if (contains(name, "ffn_gate_inp")) return std::nullopt;  // routers have a kernel of their own
  // An embedding that is the output matrix, too.
  if (name == "token_embd.weight" && file.find_tensor("output.weight") != nullptr) return std::nullopt;
  if (contains(name, "ffn_gate")) return Product::kGateUp;
  if (!contains(name, "ffn_up")) return Product::kLinear;
  if (has_gate_beside(file, name)) return std::nullopt;
  return Product::kUp;
}

int64_t experts_per_token(const Checkpoint& file, int64_t n_experts) {
  const auto architecture = file.metadata().string("general.architecture");
  const auto n = architecture ? file.metadata().integer(*architecture + ".expert_used_count")
                              : Result<int64_t>(architecture.error());
  return n ? std::clamp<int64_t>(*n, 1, n_experts) : 1;
}

}  // namespace

WeightKind ProductShape::kind() const {
  return find_row_layout(format)->needs_codes ? WeightKind::kQuantised : WeightKind::kFloats;
}

std::optional<PlacedProduct> placed_product(const Checkpoint& file, const TensorInfo& tensor) {
  if (tensor.shape.size() < 2 || tensor.cols() < kGroupColumns || find_row_layout(tensor.format) == nullptr)
    return std::nullopt;
  const std::optional<Product> product = product_of(file, tensor);
  if (!product) return std::nullopt;
  int64_t rows = tensor.shape[tensor.shape.size() - 2];
  if (contains(tensor.name, "ffn_gate_up")) rows /= 2;  // both in one tensor
  const int64_t n_experts = tensor.shape.size() == 3 ? tensor.shape[0] : 1;
  return PlacedProduct{.shape = {.product = *product,
                                 .format = tensor.format,
                                 .cols = tensor.cols(),
                                 .rows = static_cast<int64_t>(
                                     std::bit_ceil(static_cast<uint64_t>(std::max<int64_t>(rows, 1)))),
                                 .n_experts = n_experts,
                                 .n_per_token = n_experts > 1 ? experts_per_token(file, n_experts) : 1},
                       .rows = rows};
}

ProductWay untuned_way(const ProductShape& shape, int64_t n_tokens) {
  if (n_tokens <= kMaxLinearTokens) return decode_way(shape);
  return way_of(choose_tile(tiles_of(shape), n_tokens * shape.n_per_token, shape.n_experts));
}

std::vector<ProductWay> product_ways(const ProductShape& shape, size_t tokens_class) {
  const int64_t n_tokens = kPromptClassesOfTokens[tokens_class].typical;
  std::vector<ProductWay> ways = {untuned_way(shape, n_tokens)};
  const auto add = [&ways](const ProductWay& way) {
    if (std::ranges::find(ways, way) == ways.end()) ways.push_back(way);
  };
  // Whether experts go by tiles is decided for all of their products in one, so it is not the choice of one.
  if (shape.has_experts() && n_tokens <= kMaxLinearTokens) return ways;
  if (!shape.has_experts() && n_tokens <= kMostTokensForDecode) add(decode_way(shape));
  const int64_t n_rows = (n_tokens * shape.n_per_token + shape.n_experts - 1) / shape.n_experts;
  for (const PromptTile& tile : tiles_of(shape)) {
    if (tile.rows() < kMostEmpty * n_rows || tile.rows() == tiles_of(shape).front().rows()) add(way_of(tile));
  }
  return ways;
}

TuningKey product_key(const ProductShape& shape, size_t tokens_class) {
  constexpr std::array<std::string_view, 3> kNames = {"PromptLinear", "PromptGateUp", "PromptUp"};
  std::string params = fmt::format("cols_{}_rows_{}", shape.cols, shape.rows);
  if (shape.has_experts()) params += fmt::format("_experts_{}_of_{}", shape.n_per_token, shape.n_experts);
  return {fmt::format("{}{}_{}", kNames[static_cast<size_t>(shape.product)],
                      shape.has_experts() ? "Experts" : "", traits(shape.format).name),
          params + fmt::format("_tokens_{}", kPromptClassesOfTokens[tokens_class].name)};
}

ProductWay ProductChoice::way(int64_t n_tokens) const {
  if (n_tokens > 1) {
    const auto of = std::ranges::find_if(kPromptClassesOfTokens,
                                         [&](const TokensClass& tokens) { return n_tokens <= tokens.most; });
    const auto& chosen = by_tokens[static_cast<size_t>(of - kPromptClassesOfTokens.begin())].way;
    if (chosen) return *chosen;
  }
  return untuned_way(shape, n_tokens);
}

}  // namespace halod::hip
