#include "runtime/text/jinja/sequence_filters.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "runtime/text/jinja/attributes.h"
#include "runtime/text/jinja/filters.h"
#include "runtime/text/jinja/operators.h"
#include "runtime/text/jinja/tests.h"
#include "runtime/text/jinja/text.h"

namespace halod::jinja {
namespace {

const Value& input(const Arguments& arguments) { return arguments.positional.front(); }

/// The value that an item is sorted, joined or grouped by: an attribute's path, or the item itself.
Value key_of(const Value& item, const Value& attribute, bool ignores_case, Budget& budget) {
  Value key = item;
  if (attribute.is<int64_t>()) key = get_item(item, attribute, budget);
  if (attribute.is_string()) key = get_path(item, *attribute.text(), budget);
  if (!ignores_case || !key.is_string()) return key;
  budget.allocate(key.text()->size());
  return Value::string(lower(*key.text()));
}

Value join(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("join", {"value", "d", "attribute"});
  std::string text;
  bool first = true;
  for (const Value& item : iterate(values[0], context.budget)) {
    if (!first) append_text(text, values[1], context.budget);
    first = false;
    append_text(text, key_of(item, values[2], false, context.budget), context.budget);
  }
  return Value::string(std::move(text));
}

Value count(const Arguments& arguments, CallContext& context) {
  arguments.bind("length", {"value"});
  return Value(length(input(arguments), context.budget));
}

template <bool kLast>
Value end_item(const Arguments& arguments, CallContext& context) {
  arguments.bind("first or last", {"seq"});
  const std::vector<Value> items = iterate(input(arguments), context.budget);
  if (items.empty())
    return Value::undefined(fmt::format("No {} item, sequence was empty.", kLast ? "last" : "first"));
  return kLast ? items.back() : items.front();
}

Value to_list(const Arguments& arguments, CallContext& context) {
  arguments.bind("list", {"value"});
  return Value::list(iterate(input(arguments), context.budget));
}

Value items(const Arguments& arguments, CallContext& context) {
  arguments.bind("items", {"value"});
  const Value& value = input(arguments);
  if (value.is_undefined()) return Value::list({});
  if (value.dict() == nullptr) fail("Can only get item pairs from a mapping.");
  std::vector<Value> pairs;
  context.budget.allocate(value.dict()->entries().size() * 4 * sizeof(Value));
  for (const auto& [key, entry] : value.dict()->entries()) pairs.push_back(Value::tuple({key, entry}));
  return Value::list(std::move(pairs));
}

Value reverse(const Arguments& arguments, CallContext& context) {
  arguments.bind("reverse", {"value"});
  std::vector<Value> all = iterate(input(arguments), context.budget);
  std::ranges::reverse(all);
  if (!input(arguments).is_string()) return Value::list(std::move(all));
  std::string text;
  for (const Value& character : all) text += *character.text();
  return Value::string(std::move(text));
}

/// Items with their keys, stably sorted.
std::vector<std::pair<Value, Value>> sorted_by_key(std::vector<std::pair<Value, Value>> keyed,
                                                   bool descending, Budget& budget) {
  std::ranges::stable_sort(keyed, [&](const auto& a, const auto& b) {
    return descending ? less(b.first, a.first, budget) : less(a.first, b.first, budget);
  });
  return keyed;
}

std::vector<std::pair<Value, Value>> with_keys(const Value& sequence, const Value& attribute,
                                               bool ignores_case, Budget& budget) {
  std::vector<std::pair<Value, Value>> keyed;
  for (const Value& item : iterate(sequence, budget)) {
    keyed.emplace_back(key_of(item, attribute, ignores_case, budget), item);
  }
  return keyed;
}

Value sort(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("sort", {"value", "reverse", "case_sensitive", "attribute"});
  auto keyed = with_keys(values[0], values[3], !flag_or(values[2], false), context.budget);
  std::vector<Value> result;
  for (auto& [key, item] : sorted_by_key(std::move(keyed), flag_or(values[1], false), context.budget))
    result.push_back(item);
  return Value::list(std::move(result));
}

Value sort_dict(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("dictsort", {"value", "case_sensitive", "by", "reverse"});
  const std::string by = string_or(values[2], "key", "dictsort's by");
  if (by != "key" && by != "value") fail("dictsort's by must be 'key' or 'value'");
  if (values[0].dict() == nullptr)
    fail(fmt::format("dictsort needs a mapping, not {}", values[0].type_name()));
  std::vector<std::pair<Value, Value>> keyed;
  for (const auto& [key, value] : values[0].dict()->entries()) {
    const Value sort_key =
        key_of(by == "key" ? key : value, Value(), !flag_or(values[1], false), context.budget);
    keyed.emplace_back(sort_key, Value::tuple({key, value}));
  }
  std::vector<Value> result;
  for (auto& [key, item] : sorted_by_key(std::move(keyed), flag_or(values[3], false), context.budget))
    result.push_back(item);
  return Value::list(std::move(result));
}

Value unique(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("unique", {"value", "case_sensitive", "attribute"});
  Dict seen;
  std::vector<Value> result;
  for (const auto& [key, item] :
       with_keys(values[0], values[2], !flag_or(values[1], false), context.budget)) {
    if (seen.find(key, context.budget) != nullptr) continue;
    seen.insert(key, Value::none(), context.budget);
    result.push_back(item);
  }
  return Value::list(std::move(result));
}

template <bool kMax>
Value extreme(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("min or max", {"value", "case_sensitive", "attribute"});
  const auto keyed = with_keys(values[0], values[2], !flag_or(values[1], false), context.budget);
  if (keyed.empty()) return Value::undefined("No aggregated item, sequence was empty.");
  size_t best = 0;
  for (size_t i = 1; i < keyed.size(); ++i) {
    const Value& a = keyed[kMax ? best : i].first;
    const Value& b = keyed[kMax ? i : best].first;
    if (less(a, b, context.budget)) best = i;
  }
  return keyed[best].second;
}

Value sum(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("sum", {"iterable", "attribute", "start"});
  Value total = values[2].is_undefined() ? Value(int64_t{0}) : values[2];
  for (const Value& item : iterate(values[0], context.budget)) {
    total =
        apply(BinaryOperator::kAdd, total, key_of(item, values[1], false, context.budget), context.budget);
  }
  return total;
}

Value group(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("groupby", {"value", "attribute", "default", "case_sensitive"});
  auto keyed = with_keys(values[0], values[1], false, context.budget);
  const bool ignores_case = !flag_or(values[3], false);
  std::vector<std::pair<Value, Value>> by_sort_key;
  for (auto& [key, item] : keyed) {
    if (key.is_undefined() && !values[2].is_undefined()) key = values[2];
    by_sort_key.emplace_back(key_of(key, Value(), ignores_case, context.budget), Value::tuple({key, item}));
  }
  std::vector<Value> groups;
  by_sort_key = sorted_by_key(std::move(by_sort_key), false, context.budget);
  for (size_t i = 0; i < by_sort_key.size();) {
    std::vector<Value> members;
    const size_t first = i;
    while (i < by_sort_key.size() && equal(by_sort_key[i].first, by_sort_key[first].first, context.budget)) {
      members.push_back(by_sort_key[i++].second.list()->items[1]);
    }
    groups.push_back(
        Value::tuple({by_sort_key[first].second.list()->items[0], Value::list(std::move(members))}));
  }
  return Value::list(std::move(groups));
}

Value batch(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("batch", {"value", "linecount", "fill_with"});
  const int64_t size = integer_or(values[1], 0, "batch's linecount");
  if (size < 1) fail(fmt::format("batch's linecount is {}; it must be at least 1", size));
  std::vector<Value> batches;
  std::vector<Value> current;
  for (const Value& item : iterate(values[0], context.budget)) {
    current.push_back(item);
    if (static_cast<int64_t>(current.size()) == size)
      batches.push_back(Value::list(std::exchange(current, {})));
  }
  if (!current.empty()) {
    const bool fills = !values[2].is_undefined() && !values[2].is_none();
    if (fills)
      context.budget.allocate(static_cast<uint64_t>(std::min<int64_t>(size, kMaxBytes)) * sizeof(Value));
    if (fills) current.resize(static_cast<size_t>(size), values[2]);
    batches.push_back(Value::list(std::move(current)));
  }
  return Value::list(std::move(batches));
}

/// Arguments for the filter or test that `arguments` names at `name_idx`, with the value to be put in front.
Arguments inner_call(const Arguments& arguments, size_t name_idx) {
  Arguments call{.positional = {Value()}, .named = arguments.named};
  const size_t n = arguments.positional.size();
  for (size_t i = name_idx + 1; i < n; ++i) call.positional.push_back(arguments.positional[i]);
  return call;
}

Value map_items(const Arguments& arguments, CallContext& context) {
  std::vector<Value> result;
  const std::vector<Value> all = iterate(input(arguments), context.budget);
  if (arguments.positional.size() == 1) {
    const auto values = arguments.bind("map", {"value", "attribute", "default"});
    for (const Value& item : all) {
      const Value mapped = key_of(item, values[1], false, context.budget);
      result.push_back(mapped.is_undefined() && !values[2].is_undefined() ? values[2] : mapped);
    }
    return Value::list(std::move(result));
  }
  const std::string name = string_or(arguments.positional[1], "", "map's filter");
  const Function* filter = find_filter(name);
  if (filter == nullptr) fail(fmt::format("No filter named '{}'.", name));
  Arguments call = inner_call(arguments, 1);
  const Budget::Level level(context.budget);
  for (const Value& item : all) {
    context.budget.step();
    call.positional.front() = item;
    result.push_back(filter->call(call, context));
  }
  return Value::list(std::move(result));
}

/// select, reject, selectattr, rejectattr.
template <bool kKeepsPassing, bool kByAttribute>
Value choose(const Arguments& arguments, CallContext& context) {
  constexpr size_t kNameIdx = kByAttribute ? 2 : 1;
  if (kByAttribute && arguments.positional.size() < 2) fail("selectattr and rejectattr need an attribute");
  const Function* test = nullptr;
  if (arguments.positional.size() > kNameIdx) {
    const std::string name = string_or(arguments.positional[kNameIdx], "", "the name of a test");
    test = find_test(name);
    if (test == nullptr) fail(fmt::format("No test named '{}'.", name));
  }
  Arguments call = inner_call(arguments, kNameIdx);
  std::vector<Value> result;
  for (const Value& item : iterate(input(arguments), context.budget)) {
    context.budget.step();
    const Value subject = kByAttribute ? key_of(item, arguments.positional[1], false, context.budget) : item;
    call.positional.front() = subject;
    const bool passes = test != nullptr ? test->call(call, context).truthy() : subject.truthy();
    if (passes == kKeepsPassing) result.push_back(item);
  }
  return Value::list(std::move(result));
}

constexpr std::array kSequenceFilters = {
    Function{"batch", batch},
    Function{"count", count},
    Function{"dictsort", sort_dict},
    Function{"first", end_item<false>},
    Function{"groupby", group},
    Function{"items", items},
    Function{"join", join},
    Function{"last", end_item<true>},
    Function{"length", count},
    Function{"list", to_list},
    Function{"map", map_items},
    Function{"max", extreme<true>},
    Function{"min", extreme<false>},
    Function{"reject", choose<false, false>},
    Function{"rejectattr", choose<false, true>},
    Function{"reverse", reverse},
    Function{"select", choose<true, false>},
    Function{"selectattr", choose<true, true>},
    Function{"sort", sort},
    Function{"sum", sum},
    Function{"unique", unique},
};

}  // namespace

std::span<const Function> sequence_filters() { return kSequenceFilters; }

}  // namespace halod::jinja
