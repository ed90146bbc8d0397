#include "runtime/text/jinja/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "runtime/text/jinja/text.h"

namespace halod::jinja {
namespace {

template <class... Handlers>
struct Overloaded : Handlers... {
  using Handlers::operator()...;
};
// clang 14, which fuzzes, does not deduce it by itself.
template <class... Handlers>
Overloaded(Handlers...) -> Overloaded<Handlers...>;

int checked_depth(int depth) {
  if (depth > kMaxValueDepth)
    fail(fmt::format("a list or dictionary is nested more than {} deep", kMaxValueDepth));
  return depth;
}

void append(std::string& out, std::string_view text, Budget& budget) {
  budget.allocate(text.size());
  out += text;
}

void append_items(std::string& out, const List& list, Budget& budget) {
  append(out, list.is_tuple ? "(" : "[", budget);
  for (size_t i = 0; i < list.items.size(); ++i) {
    if (i > 0) append(out, ", ", budget);
    append_repr(out, list.items[i], budget);
  }
  if (list.is_tuple && list.items.size() == 1) append(out, ",", budget);
  append(out, list.is_tuple ? ")" : "]", budget);
}

void append_entries(std::string& out, const Dict& dict, Budget& budget) {
  append(out, "{", budget);
  bool first = true;
  for (const auto& [key, value] : dict.entries()) {
    if (!first) append(out, ", ", budget);
    first = false;
    append_repr(out, key, budget);
    append(out, ": ", budget);
    append_repr(out, value, budget);
  }
  append(out, "}", budget);
}

}  // namespace

Value Value::list(std::vector<Value> items, bool is_tuple) {
  int depth = 1;
  for (const Value& item : items) depth = std::max(depth, item.depth() + 1);
  return Value(std::make_shared<const List>(
      List{.items = std::move(items), .is_tuple = is_tuple, .depth = checked_depth(depth)}));
}

Value Value::dict(Dict dict) {
  checked_depth(dict.depth());
  return Value(std::make_shared<const Dict>(std::move(dict)));
}

const std::string* Value::text() const {
  const StringPtr* text = get_if<StringPtr>();
  return text != nullptr ? text->get() : nullptr;
}

const List* Value::list() const {
  const ListPtr* list = get_if<ListPtr>();
  return list != nullptr ? list->get() : nullptr;
}

const Dict* Value::dict() const {
  const DictPtr* dict = get_if<DictPtr>();
  return dict != nullptr ? dict->get() : nullptr;
}

const int64_t* Value::integer() const { return get_if<int64_t>(); }

double Value::as_double() const {
  if (const double* number = get_if<double>()) return *number;
  return static_cast<double>(as_integer());
}

int64_t Value::as_integer() const {
  if (const bool* flag = get_if<bool>()) return *flag ? 1 : 0;
  return std::get<int64_t>(data_);
}

bool Value::truthy() const {
  return std::visit(Overloaded{
                        [](const Undefined&) { return false; },
                        [](const None&) { return false; },
                        [](bool flag) { return flag; },
                        [](int64_t number) { return number != 0; },
                        [](double number) { return number != 0; },
                        [](const StringPtr& text) { return !text->empty(); },
                        [](const ListPtr& list) { return !list->items.empty(); },
                        [](const DictPtr& dict) { return !dict->entries().empty(); },
                        [](const auto&) { return true; },
                    },
                    data_);
}

std::string_view Value::type_name() const {
  return std::visit(
      Overloaded{
          [](const Undefined&) { return std::string_view("Undefined"); },
          [](const None&) { return std::string_view("NoneType"); },
          [](bool) { return std::string_view("bool"); },
          [](int64_t) { return std::string_view("int"); },
          [](double) { return std::string_view("float"); },
          [](const StringPtr&) { return std::string_view("str"); },
          [](const ListPtr& list) { return std::string_view(list->is_tuple ? "tuple" : "list"); },
          [](const DictPtr&) { return std::string_view("dict"); },
          [](Namespace*) { return std::string_view("Namespace"); },
          [](Loop*) { return std::string_view("LoopContext"); },
          [](const Macro*) { return std::string_view("Macro"); },
          [](const auto&) { return std::string_view("function"); },
      },
      data_);
}

int Value::depth() const {
  if (const List* items = list()) return items->depth;
  if (const Dict* entries = dict()) return entries->depth();
  if (const MethodPtr* method = get_if<MethodPtr>()) return (*method)->depth;
  return 0;
}

void Dict::insert(const Value& key, Value value, Budget& budget) {
  if (key.list() != nullptr || key.dict() != nullptr) {
    fail(fmt::format("unhashable type: '{}'", key.type_name()));
  }
  depth_ = std::max(depth_, value.depth() + 1);
  budget.allocate(2 * sizeof(Value));
  if (const Value* found = find(key, budget)) {
    const auto idx = static_cast<size_t>(std::find_if(entries_.begin(), entries_.end(),
                                                      [found](const auto& e) { return &e.second == found; }) -
                                         entries_.begin());
    entries_[idx].second = std::move(value);
    return;
  }
  if (const std::string* text = key.text()) idx_by_text_.emplace(*text, entries_.size());
  entries_.emplace_back(key, std::move(value));
}

const Value* Dict::find(const Value& key, Budget& budget) const {
  if (const std::string* text = key.text()) return find(*text);
  budget.step(entries_.size());
  for (const auto& [other, value] : entries_) {
    if (equal(key, other, budget)) return &value;
  }
  return nullptr;
}

const Value* Dict::find(std::string_view key) const {
  const auto found = idx_by_text_.find(key);
  return found == idx_by_text_.end() ? nullptr : &entries_[found->second].second;
}

const Value* Namespace::find(std::string_view name) const {
  for (const auto& [key, value] : attributes) {
    if (key == name) return &value;
  }
  return nullptr;
}

void Namespace::set(std::string_view name, Value value) {
  for (auto& [key, current] : attributes) {
    if (key != name) continue;
    current = std::move(value);
    return;
  }
  attributes.emplace_back(name, std::move(value));
}

std::string float_text(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number > 0 ? "inf" : "-inf";
  std::array<char, 64> buffer{};
  const double magnitude = std::abs(number);
  // The bounds at which Python's repr changes to an exponent.
  const bool is_plain = number == 0 || (magnitude >= 1e-4 && magnitude < 1e16);
  const auto format = is_plain ? std::chars_format::fixed : std::chars_format::scientific;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), number, format).ptr;
  std::string text(buffer.data(), end);
  if (is_plain && text.find('.') == std::string::npos) text += ".0";
  return text;
}

void append_text(std::string& out, const Value& value, Budget& budget) {
  if (const std::string* text = value.text()) {
    append(out, *text, budget);
  } else if (!value.is_undefined()) {
    append_repr(out, value, budget);
  }
}

std::string to_text(const Value& value, Budget& budget) {
  std::string text;
  append_text(text, value, budget);
  return text;
}

void append_repr(std::string& out, const Value& value, Budget& budget) {
  budget.step();
  std::visit(Overloaded{
                 [&](const Undefined&) { append(out, "Undefined", budget); },
                 [&](const None&) { append(out, "None", budget); },
                 [&](bool flag) { append(out, flag ? "True" : "False", budget); },
                 [&](int64_t number) { append(out, std::to_string(number), budget); },
                 [&](double number) { append(out, float_text(number), budget); },
                 [&](const StringPtr& text) { append(out, quoted(*text), budget); },
                 [&](const ListPtr& list) { append_items(out, *list, budget); },
                 [&](const DictPtr& dict) { append_entries(out, *dict, budget); },
                 [&](const auto&) { append(out, fmt::format("<{}>", value.type_name()), budget); },
             },
             value.data());
}

bool equal(const Value& a, const Value& b, Budget& budget) {
  budget.step();
  if (a.is_number() && b.is_number()) {
    const bool is_real = a.is<double>() || b.is<double>();
    return is_real ? a.as_double() == b.as_double() : a.as_integer() == b.as_integer();
  }
  if (a.data().index() != b.data().index()) return false;
  if (a.is_undefined() || a.is_none()) return true;
  if (const std::string* text = a.text()) {
    budget.step(text->size() / 64);
    return *text == *b.text();
  }
  if (const List* list = a.list()) {
    const auto same = [&budget](const Value& x, const Value& y) { return equal(x, y, budget); };
    return list->is_tuple == b.list()->is_tuple &&
           std::equal(list->items.begin(), list->items.end(), b.list()->items.begin(), b.list()->items.end(),
                      same);
  }
  if (const Dict* dict = a.dict()) {
    if (dict->entries().size() != b.dict()->entries().size()) return false;
    return std::ranges::all_of(dict->entries(), [&](const auto& entry) {
      const Value* other = b.dict()->find(entry.first, budget);
      return other != nullptr && equal(entry.second, *other, budget);
    });
  }
  if (a.is<MethodPtr>()) return *a.get_if<MethodPtr>() == *b.get_if<MethodPtr>();
  // Objects are equal to themselves alone.
  return std::visit(
      [&b]<class T>(const T& object) {
        if constexpr (std::is_pointer_v<T>) return object == *b.get_if<T>();
        return false;
      },
      a.data());
}

bool less(const Value& a, const Value& b, Budget& budget) {
  budget.step();
  if (a.is_number() && b.is_number()) {
    const bool is_real = a.is<double>() || b.is<double>();
    return is_real ? a.as_double() < b.as_double() : a.as_integer() < b.as_integer();
  }
  if (a.is_string() && b.is_string()) {
    budget.step(a.text()->size() / 64);
    return *a.text() < *b.text();  // UTF-8 sorts like its code points
  }
  if (a.list() != nullptr && b.list() != nullptr && a.list()->is_tuple == b.list()->is_tuple) {
    const auto& x = a.list()->items;
    const auto& y = b.list()->items;
    for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
      if (!equal(x[i], y[i], budget)) return less(x[i], y[i], budget);
    }
    return x.size() < y.size();
  }
  if (a.is_undefined() || b.is_undefined()) fail(*(a.is_undefined() ? a : b).get_if<Undefined>()->reason);
  fail(fmt::format("'<' not supported between instances of '{}' and '{}'", a.type_name(), b.type_name()));
}

std::vector<Value> iterate(const Value& value, Budget& budget) {
  std::vector<Value> items;
  if (const List* list = value.list()) {
    budget.allocate(list->items.size() * sizeof(Value));
    items = list->items;
  } else if (const Dict* dict = value.dict()) {
    budget.allocate(dict->entries().size() * sizeof(Value));
    for (const auto& [key, entry] : dict->entries()) items.push_back(key);
  } else if (const std::string* text = value.text()) {
    // A character of its own costs about a hundred bytes.
    budget.allocate(text->size() * 100);
    for (const std::string_view character : characters(*text))
      items.push_back(Value::string(std::string(character)));
  } else if (!value.is_undefined()) {
    fail(fmt::format("'{}' object is not iterable", value.type_name()));
  }
  return items;
}

int64_t length(const Value& value, Budget& budget) {
  if (const List* list = value.list()) return static_cast<int64_t>(list->items.size());
  if (const Dict* dict = value.dict()) return static_cast<int64_t>(dict->entries().size());
  if (const std::string* text = value.text()) {
    budget.step(text->size() / 64);
    return static_cast<int64_t>(n_characters(*text));
  }
  if (value.is_undefined()) return 0;
  fail(fmt::format("object of type '{}' has no len()", value.type_name()));
}

}  // namespace halod::jinja
