#include "runtime/text/jinja/operators.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "runtime/text/jinja/string_format.h"

namespace halod::jinja {
namespace {

std::string_view symbol(BinaryOperator op) {
  switch (op) {
    case BinaryOperator::kAdd:
      return "+";
    case BinaryOperator::kSubtract:
      return "-";
    case BinaryOperator::kMultiply:
      return "*";
    case BinaryOperator::kDivide:
      return "/";
    case BinaryOperator::kFloorDivide:
      return "//";
    case BinaryOperator::kModulo:
      return "%";
    case BinaryOperator::kPower:
      return "**";
    default:
      return "comparison";
  }
}

void check_defined(const Value& value) {
  if (const auto* undefined = value.get_if<Undefined>()) {
    fail(undefined->reason ? *undefined->reason : "a value is undefined");
  }
}

[[noreturn]] void fail_overflow(std::string_view what) {
  fail(fmt::format("the result of {} does not fit 64 bits", what));
}

double real_arithmetic(BinaryOperator op, double a, double b) {
  switch (op) {
    case BinaryOperator::kAdd:
      return a + b;
    case BinaryOperator::kSubtract:
      return a - b;
    case BinaryOperator::kMultiply:
      return a * b;
    case BinaryOperator::kPower:
      return std::pow(a, b);
    default:
      break;
  }
  if (b == 0) fail("division by zero");
  if (op == BinaryOperator::kDivide) return a / b;
  if (op == BinaryOperator::kFloorDivide) return std::floor(a / b);
  const double remainder = std::fmod(a, b);
  return remainder != 0 && (remainder < 0) != (b < 0) ? remainder + b : remainder;  // the sign of the divisor
}

int64_t power(int64_t base, int64_t exponent) {
  int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) fail_overflow("**");
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) fail_overflow("**");
  }
  return result;
}

Value integer_arithmetic(BinaryOperator op, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflows = false;
  switch (op) {
    case BinaryOperator::kAdd:
      overflows = __builtin_add_overflow(a, b, &result);
      break;
    case BinaryOperator::kSubtract:
      overflows = __builtin_sub_overflow(a, b, &result);
      break;
    case BinaryOperator::kMultiply:
      overflows = __builtin_mul_overflow(a, b, &result);
      break;
    case BinaryOperator::kDivide:
      return Value(real_arithmetic(op, static_cast<double>(a), static_cast<double>(b)));
    case BinaryOperator::kPower:
      if (b < 0) return Value(real_arithmetic(op, static_cast<double>(a), static_cast<double>(b)));
      result = power(a, b);
      break;
    default: {
      if (b == 0) fail("integer division or modulo by zero");
      if (b == -1) {  // INT64_MIN / -1 traps
        if (op == BinaryOperator::kModulo) return Value(int64_t{0});
        return negate(Value(a));
      }
      const int64_t remainder = a % b;
      const bool adjust = remainder != 0 && (remainder < 0) != (b < 0);
      result = op == BinaryOperator::kModulo ? remainder + (adjust ? b : 0) : a / b - (adjust ? 1 : 0);
    }
  }
  if (overflows) fail_overflow(symbol(op));
  return Value(result);
}

bool is_integer(const Value& value) { return value.is<int64_t>() || value.is<bool>(); }

/// text * n and list * n; undefined for other operands.
std::optional<Value> repeat(const Value& sequence, const Value& count, Budget& budget) {
  if (!is_integer(count)) return std::nullopt;
  const auto n = static_cast<uint64_t>(std::max<int64_t>(count.as_integer(), 0));
  // A count of its own limit: n * size could overflow.
  const uint64_t limited = std::min(n, kMaxBytes + 1);
  if (const std::string* text = sequence.text()) {
    budget.allocate(limited * text->size());
    std::string result;
    for (uint64_t i = 0; i < n && !text->empty(); ++i) result += *text;
    return Value::string(std::move(result));
  }
  if (const List* list = sequence.list()) {
    budget.allocate(limited * list->items.size() * sizeof(Value));
    std::vector<Value> items;
    for (uint64_t i = 0; i < n && !list->items.empty(); ++i) {
      items.insert(items.end(), list->items.begin(), list->items.end());
    }
    return Value::list(std::move(items), list->is_tuple);
  }
  return std::nullopt;
}

std::optional<Value> add_sequences(const Value& left, const Value& right, Budget& budget) {
  if (left.is_string() && right.is_string()) {
    budget.allocate(left.text()->size() + right.text()->size());
    return Value::string(*left.text() + *right.text());
  }
  const List* a = left.list();
  const List* b = right.list();
  if (a == nullptr || b == nullptr || a->is_tuple != b->is_tuple) return std::nullopt;
  budget.allocate((a->items.size() + b->items.size()) * sizeof(Value));
  std::vector<Value> items = a->items;
  items.insert(items.end(), b->items.begin(), b->items.end());
  return Value::list(std::move(items), a->is_tuple);
}

Value arithmetic(BinaryOperator op, const Value& left, const Value& right, Budget& budget) {
  if (op == BinaryOperator::kModulo && left.is_string())
    return Value::string(format_percent(*left.text(), right, budget));
  check_defined(left);
  check_defined(right);
  if (is_integer(left) && is_integer(right))
    return integer_arithmetic(op, left.as_integer(), right.as_integer());
  if (left.is_number() && right.is_number())
    return Value(real_arithmetic(op, left.as_double(), right.as_double()));
  std::optional<Value> result;
  if (op == BinaryOperator::kAdd) result = add_sequences(left, right, budget);
  if (op == BinaryOperator::kMultiply) result = repeat(left, right, budget);
  if (op == BinaryOperator::kMultiply && !result) result = repeat(right, left, budget);
  if (result) return *result;
  if (op == BinaryOperator::kAdd && left.is_string()) {
    fail(fmt::format("can only concatenate str (not \"{}\") to str", right.type_name()));
  }
  fail(fmt::format("unsupported operand type(s) for {}: '{}' and '{}'", symbol(op), left.type_name(),
                   right.type_name()));
}

}  // namespace

bool contains(const Value& right, const Value& left, Budget& budget) {
  if (const std::string* text = right.text()) {
    if (left.is_undefined()) check_defined(left);
    if (!left.is_string()) {
      fail(fmt::format("'in <string>' requires string as left operand, not {}", left.type_name()));
    }
    budget.step(text->size() / 64);
    return text->find(*left.text()) != std::string::npos;
  }
  if (const Dict* dict = right.dict()) return dict->find(left, budget) != nullptr;
  if (const List* list = right.list()) {
    return std::ranges::any_of(list->items, [&](const Value& item) { return equal(item, left, budget); });
  }
  if (right.is_undefined()) return false;
  fail(fmt::format("argument of type '{}' is not iterable", right.type_name()));
}

Value negate(const Value& operand) {
  check_defined(operand);
  if (operand.is<double>()) return Value(-operand.as_double());
  if (!is_integer(operand)) fail(fmt::format("bad operand type for unary -: '{}'", operand.type_name()));
  int64_t result = 0;
  if (__builtin_sub_overflow(int64_t{0}, operand.as_integer(), &result)) fail_overflow("unary -");
  return Value(result);
}

Value apply(BinaryOperator op, const Value& left, const Value& right, Budget& budget) {
  switch (op) {
    case BinaryOperator::kEqual:
      return Value(equal(left, right, budget));
    case BinaryOperator::kNotEqual:
      return Value(!equal(left, right, budget));
    case BinaryOperator::kLess:
      return Value(less(left, right, budget));
    case BinaryOperator::kGreater:
      return Value(less(right, left, budget));
    case BinaryOperator::kLessEqual:
      return Value(less(left, right, budget) || equal(left, right, budget));
    case BinaryOperator::kGreaterEqual:
      return Value(less(right, left, budget) || equal(left, right, budget));
    case BinaryOperator::kIn:
      return Value(contains(right, left, budget));
    case BinaryOperator::kNotIn:
      return Value(!contains(right, left, budget));
    case BinaryOperator::kConcatenate: {
      std::string text = to_text(left, budget);
      append_text(text, right, budget);
      return Value::string(std::move(text));
    }
    default:
      return arithmetic(op, left, right, budget);
  }
}

}  // namespace halod::jinja
