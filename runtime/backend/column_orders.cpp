#include "runtime/backend/column_orders.h"

namespace halod {

Result<ColumnOrder> ColumnOrders::read(const Checkpoint& file, const TensorInfo& tensor) {
  if (!tensor.has_column_order) return ColumnOrder();
  auto order = file.column_order(tensor);
  if (!order) return order.error();
  const auto cols = static_cast<size_t>(tensor.cols());
  bool is_plain = true;
  for (size_t i = 0; i < order->size(); ++i) is_plain &= (*order)[i] == static_cast<int32_t>(i % cols);
  if (is_plain) return ColumnOrder();
  for (const ColumnOrder& known : latest_) {
    if (*known == *order) return known;
  }
  // A layer has no more inputs than this.
  constexpr size_t kLatest = 8;
  if (latest_.size() == kLatest) latest_.erase(latest_.begin());
  latest_.push_back(std::make_shared<const std::vector<int32_t>>(std::move(*order)));
  return latest_.back();
}

}  // namespace halod
