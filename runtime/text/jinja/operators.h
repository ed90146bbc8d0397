// Python's operators on template values.
#pragma once

#include <cstdint>

#include "runtime/text/jinja/value.h"

namespace halod::jinja {

enum class BinaryOperator : uint8_t {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kConcatenate,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn,
};

/// Errors: fails as Python would (types, division by zero), and where an integer leaves 64 bits, which
/// Python's do not.
Value apply(BinaryOperator op, const Value& left, const Value& right, Budget& budget);
Value negate(const Value& operand);

/// `left in right`.
bool contains(const Value& right, const Value& left, Budget& budget);

}  // namespace halod::jinja
