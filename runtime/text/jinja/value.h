// Template values: Python's, as far as templates can tell.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "runtime/text/jinja/budget.h"

namespace halod::jinja {

class Value;
struct List;
class Dict;
struct Namespace;
struct Loop;
struct Macro;
struct Function;
struct BoundMethod;

/// Something that is not there. Printing gives nothing, most uses fail with `reason`.
struct Undefined {
  std::shared_ptr<const std::string> reason;
};
struct None {
  friend bool operator==(const None&, const None&) = default;
};

using StringPtr = std::shared_ptr<const std::string>;
using ListPtr = std::shared_ptr<const List>;
using DictPtr = std::shared_ptr<const Dict>;
using MethodPtr = std::shared_ptr<const BoundMethod>;

/// Cheap to copy: text and containers are shared and never change (Hugging Face renders in an immutable
/// sandbox), so there are no cycles. Namespaces, loops and macros change or refer to scopes; the interpreter
/// owns them, and the values that point at them do not outlive the rendering.
class Value {
 public:
  using Data = std::variant<Undefined, None, bool, int64_t, double, StringPtr, ListPtr, DictPtr, MethodPtr,
                            Namespace*, Loop*, const Macro*, const Function*>;

  Value() = default;  ///< undefined
  template <class T>
  requires std::constructible_from<Data, T&&> &&
      (!std::is_same_v<std::remove_cvref_t<T>, Value>)explicit Value(T&& data)
      : data_(std::forward<T>(data)) {}

  static Value none() { return Value(None{}); }
  static Value string(std::string text) {
    return Value(std::make_shared<const std::string>(std::move(text)));
  }
  static Value undefined(std::string reason) {
    return Value(Undefined{std::make_shared<const std::string>(std::move(reason))});
  }
  /// Errors: fails past kMaxValueDepth.
  static Value list(std::vector<Value> items, bool is_tuple = false);
  static Value tuple(std::vector<Value> items) { return list(std::move(items), true); }
  static Value dict(Dict dict);

  template <class T>
  bool is() const {
    return std::holds_alternative<T>(data_);
  }
  template <class T>
  const T* get_if() const {
    return std::get_if<T>(&data_);
  }
  const Data& data() const { return data_; }

  bool is_undefined() const { return is<Undefined>(); }
  bool is_none() const { return is<None>(); }
  bool is_string() const { return is<StringPtr>(); }
  /// nullptr when it is something else.
  const std::string* text() const;
  const List* list() const;
  const Dict* dict() const;
  /// Integers, and booleans as Python counts them.
  const int64_t* integer() const;
  bool is_number() const { return is<bool>() || is<int64_t>() || is<double>(); }
  /// REQUIRES: is_number().
  double as_double() const;
  /// Booleans and integers as int64. REQUIRES: one of them.
  int64_t as_integer() const;

  /// Python's bool().
  bool truthy() const;
  /// How Python names the type in its messages: "str", "dict".
  std::string_view type_name() const;
  /// Nesting of containers.
  int depth() const;

 private:
  Data data_;
};

struct List {
  std::vector<Value> items;
  bool is_tuple = false;
  int depth = 1;
};

/// Keeps its order. Built by insert(), then shared as const.
class Dict {
 public:
  /// Replaces the value of a key that is there already. Errors: fails for keys that Python could not hash.
  void insert(const Value& key, Value value, Budget& budget);
  const Value* find(const Value& key, Budget& budget) const;
  const Value* find(std::string_view key) const;
  const std::vector<std::pair<Value, Value>>& entries() const { return entries_; }
  int depth() const { return depth_; }

 private:
  friend class Value;
  std::vector<std::pair<Value, Value>> entries_;
  std::unordered_map<std::string_view, size_t> idx_by_text_;  // borrowed from the keys in entries_
  int depth_ = 1;
};

/// namespace(): the only thing that a template can change.
struct Namespace {
  std::vector<std::pair<std::string, Value>> attributes;

  const Value* find(std::string_view name) const;
  void set(std::string_view name, Value value);
};

/// The variable `loop`.
struct Loop {
  std::vector<Value> items;
  size_t idx = 0;
  int depth = 1;
  std::vector<Value> changed_arguments;  // of the last loop.changed(…)
  bool was_asked_for_changes = false;
};

/// `text.split`: a method with the object that it will work on.
struct BoundMethod {
  Value self;
  const Function* method = nullptr;
  int depth = 1;
};

/// What str() gives. Errors: fails when the budget is used up.
void append_text(std::string& out, const Value& value, Budget& budget);
std::string to_text(const Value& value, Budget& budget);
/// What repr() gives: strings in quotes.
void append_repr(std::string& out, const Value& value, Budget& budget);
/// Python's repr of a float: the shortest digits that read back the same.
std::string float_text(double number);

/// Python's ==. Never fails but for the budget.
bool equal(const Value& a, const Value& b, Budget& budget);
/// Python's <. Errors: fails for types that have no order.
bool less(const Value& a, const Value& b, Budget& budget);

/// The items that a for loop would visit: of lists, the keys of dictionaries, the characters of text; none of
/// undefined. Errors: fails for anything else.
std::vector<Value> iterate(const Value& value, Budget& budget);
/// Python's len(). Errors as iterate().
int64_t length(const Value& value, Budget& budget);

}  // namespace halod::jinja
