// The checks of weights whose columns are not in the order of their inputs.
#include <fmt/format.h>

#include "runtime/backend/hip/check_inputs.h"
#include "runtime/backend/hip/kernel_checks.h"

namespace halod::hip {
namespace {

/// Rows of x, two for each, by experts that have orders of their own.
KernelChecks check_gather(Device& device, int cols) {
  const std::vector<int32_t> experts = {1, 0, 0, 2, 1, 1};
  const auto n_rows = static_cast<int>(experts.size());
  const std::vector<float> x = check_values(int64_t{n_rows} / 2 * cols, 120);
  const std::vector<int32_t> orders = check_orders(3, cols, 121);
  DeviceArray<float> device_x(device, x);
  DeviceArray<int32_t> device_orders(device, orders), device_experts(device, experts);
  const std::string what = fmt::format("gather_columns {}", cols);
  KernelChecks checks;
  for (const bool has_orders : {true, false}) {
    CheckActivations y(device, n_rows, cols);
    launch(device, KernelId::gather_columns, {.x = n_rows}, 0,
           GatherColumnsArgs{.x = device_x.data(),
                             .order = has_orders ? device_orders.data() : nullptr,
                             .experts = device_experts.data(),
                             .rows_per_x = 2,
                             .cols = cols,
                             .y = y.result()});
    std::vector<float> expected;
    for (size_t row = 0; row < experts.size(); ++row) {
      for (int i = 0; i < cols; ++i) {
        const int column = has_orders ? orders[static_cast<size_t>(experts[row] * cols + i)] : i;
        expected.push_back(x[row / 2 * static_cast<size_t>(cols) + static_cast<size_t>(column)]);
      }
    }
    checks.push_back({what, y.values() == expected ? 0.0 : 1.0});
    if (cols % 32 == 0) checks.push_back({what + " to 8 bits", rounding_error(y, n_rows, cols)});
  }
  return checks;
}

}  // namespace

KernelChecks check_column_orders(Device& device, Format embedding, int cols) {
  KernelChecks checks = check_gather(device, cols);
  const CheckWeights weights(device, embedding, 1, 3, cols, 122);
  const std::vector<int32_t> order = check_orders(1, cols, 123);
  DeviceArray<int32_t> device_order(device, order), tokens(device, std::vector<int32_t>{2});
  DeviceArray<float> out(device, cols);
  launch(device, KernelId::embed, {.x = 1}, 0,
         EmbedArgs{weights.device_rows(), tokens.data(), out.data(), device_order.data()});
  std::vector<float> as_placed(static_cast<size_t>(cols)), expected(as_placed);
  traits(embedding).dequantize(weights.row_blocks(2), cols, as_placed.data());
  for (size_t i = 0; i < expected.size(); ++i) expected[static_cast<size_t>(order[i])] = as_placed[i];
  checks.push_back({fmt::format("embed {} {} in an order", traits(embedding).name, cols),
                    out.read() == expected ? 0.0 : 1.0});
  return checks;
}

}  // namespace halod::hip
