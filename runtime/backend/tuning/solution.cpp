#include "runtime/backend/tuning/solution.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "kernels/cpu/tile_layout.h"

namespace halod {
namespace {

constexpr std::string_view kRows = ":rows_";
constexpr int64_t kMostRows = 1 << 16;

}  // namespace

std::string to_string(const Solution& solution) {
  if (solution.rows_per_task == 0) return std::string(solution.variant->name);
  return fmt::format("{}{}{}", solution.variant->name, kRows, solution.rows_per_task);
}

std::optional<Solution> parse_solution(std::string_view text,
                                       std::span<const MatmulVariant* const> variants) {
  Solution solution;
  if (const size_t at = text.find(kRows); at != std::string_view::npos) {
    const std::string_view rows = text.substr(at + kRows.size());
    const auto [stop, error] =
        std::from_chars(rows.data(), rows.data() + rows.size(), solution.rows_per_task);
    if (error != std::errc() || stop != rows.data() + rows.size() || solution.rows_per_task <= 0 ||
        solution.rows_per_task > kMostRows || solution.rows_per_task % kTileRows != 0)
      return std::nullopt;
    text = text.substr(0, at);
  }
  const auto variant = std::ranges::find(variants, text, &MatmulVariant::name);
  if (variant == variants.end()) return std::nullopt;
  solution.variant = *variant;
  return solution;
}

}  // namespace halod
