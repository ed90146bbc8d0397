// Which of the inputs each column of a weight is multiplied with, where it is not the one in its place.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/error.h"
#include "runtime/weights/checkpoint.h"

namespace halod {

/// [n_experts * cols]; null: columns are in the order of the inputs.
using ColumnOrder = std::shared_ptr<const std::vector<int32_t>>;

/// Orders by their content, because weights that read the same inputs mostly have one.
class ColumnOrders {
 public:
  /// The tensor's, as Checkpoint has it. Errors: as Checkpoint::column_order.
  Result<ColumnOrder> read(const Checkpoint& file, const TensorInfo& tensor);

 private:
  std::vector<ColumnOrder> latest_;  // of the tensors before it
};

}  // namespace halod
