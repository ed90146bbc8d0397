#include "runtime/text/jinja/tests.h"

#include <fmt/format.h>

#include <array>

#include "runtime/text/jinja/filters.h"
#include "runtime/text/jinja/operators.h"
#include "runtime/text/jinja/text.h"

namespace halod::jinja {
namespace {

const Value& operand(const Arguments& arguments) { return arguments.positional.front(); }

template <bool (*kTest)(const Value&)>
Value unary(const Arguments& arguments, CallContext&) {
  arguments.bind("the test", {"value"});
  return Value(kTest(operand(arguments)));
}

bool is_defined(const Value& value) { return !value.is_undefined(); }
bool is_undefined(const Value& value) { return value.is_undefined(); }
bool is_none(const Value& value) { return value.is_none(); }
bool is_boolean(const Value& value) { return value.is<bool>(); }
bool is_true(const Value& value) { return value.is<bool>() && value.truthy(); }
bool is_false(const Value& value) { return value.is<bool>() && !value.truthy(); }
bool is_integer(const Value& value) { return value.is<int64_t>(); }
bool is_float(const Value& value) { return value.is<double>(); }
bool is_number(const Value& value) { return value.is_number(); }
bool is_string(const Value& value) { return value.is_string(); }
bool is_mapping(const Value& value) { return value.dict() != nullptr; }
bool is_escaped(const Value&) { return false; }
// Python's Undefined has __iter__, __len__ and __getitem__, and so passes these two.
bool is_iterable(const Value& value) {
  return value.is_string() || value.list() != nullptr || value.dict() != nullptr || value.is_undefined() ||
         value.is<Loop*>();
}
bool is_sequence(const Value& value) {
  return value.is_string() || value.list() != nullptr || value.dict() != nullptr || value.is_undefined();
}
bool is_callable(const Value& value) {
  return value.is<MethodPtr>() || value.is<const Macro*>() || value.is<const Function*>();
}

template <BinaryOperator kOperator>
Value compare(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("the test", {"value", "other"});
  return apply(kOperator, values[0], values[1], context.budget);
}

Value is_same(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("sameas", {"value", "other"});
  const bool same_type = values[0].data().index() == values[1].data().index();
  const bool is_container = values[0].list() != nullptr || values[0].dict() != nullptr;
  if (!same_type) return Value(false);
  if (is_container)
    return Value(values[0].is<ListPtr>() ? values[0].list() == values[1].list()
                                         : values[0].dict() == values[1].dict());
  return Value(equal(values[0], values[1], context.budget));
}

Value remainder_is_zero(const Value& value, const Value& divisor, Budget& budget) {
  return Value(!apply(BinaryOperator::kModulo, value, divisor, budget).truthy());
}

Value is_divisible(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("divisibleby", {"value", "num"});
  return remainder_is_zero(values[0], values[1], context.budget);
}

template <bool kOdd>
Value has_parity(const Arguments& arguments, CallContext& context) {
  arguments.bind("odd or even", {"value"});
  return Value(remainder_is_zero(operand(arguments), Value(int64_t{2}), context.budget).truthy() != kOdd);
}

template <bool kUpper>
Value has_case(const Arguments& arguments, CallContext& context) {
  arguments.bind("upper or lower", {"value"});
  const std::string text = to_text(operand(arguments), context.budget);
  return Value(lower(text) != upper(text) && text == (kUpper ? upper(text) : lower(text)));
}

template <const Function* (*kFind)(std::string_view)>
Value exists(const Arguments& arguments, CallContext&) {
  arguments.bind("filter or test", {"value"});
  return Value(operand(arguments).is_string() && kFind(*operand(arguments).text()) != nullptr);
}

constexpr std::array kTests = {
    Function{"!=", compare<BinaryOperator::kNotEqual>},
    Function{"<", compare<BinaryOperator::kLess>},
    Function{"<=", compare<BinaryOperator::kLessEqual>},
    Function{"==", compare<BinaryOperator::kEqual>},
    Function{">", compare<BinaryOperator::kGreater>},
    Function{">=", compare<BinaryOperator::kGreaterEqual>},
    Function{"boolean", unary<is_boolean>},
    Function{"callable", unary<is_callable>},
    Function{"defined", unary<is_defined>},
    Function{"divisibleby", is_divisible},
    Function{"eq", compare<BinaryOperator::kEqual>},
    Function{"equalto", compare<BinaryOperator::kEqual>},
    Function{"escaped", unary<is_escaped>},
    Function{"even", has_parity<false>},
    Function{"false", unary<is_false>},
    Function{"filter", exists<find_filter>},
    Function{"float", unary<is_float>},
    Function{"ge", compare<BinaryOperator::kGreaterEqual>},
    Function{"greaterthan", compare<BinaryOperator::kGreater>},
    Function{"gt", compare<BinaryOperator::kGreater>},
    Function{"in", compare<BinaryOperator::kIn>},
    Function{"integer", unary<is_integer>},
    Function{"iterable", unary<is_iterable>},
    Function{"le", compare<BinaryOperator::kLessEqual>},
    Function{"lessthan", compare<BinaryOperator::kLess>},
    Function{"lower", has_case<false>},
    Function{"lt", compare<BinaryOperator::kLess>},
    Function{"mapping", unary<is_mapping>},
    Function{"ne", compare<BinaryOperator::kNotEqual>},
    Function{"none", unary<is_none>},
    Function{"number", unary<is_number>},
    Function{"odd", has_parity<true>},
    Function{"sameas", is_same},
    Function{"sequence", unary<is_sequence>},
    Function{"string", unary<is_string>},
    Function{"test", exists<find_test>},
    Function{"true", unary<is_true>},
    Function{"undefined", unary<is_undefined>},
    Function{"upper", has_case<true>},
};

}  // namespace

const Function* find_test(std::string_view name) { return find_function(kTests, name); }

}  // namespace halod::jinja
