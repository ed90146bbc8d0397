#include "runtime/text/jinja/functions.h"

#include <fmt/format.h>

#include <array>

namespace halod::jinja {
namespace {

Value range(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("range", {"start", "stop", "step"});
  if (arguments.positional.empty()) fail("range expected at least 1 argument, got 0");
  const bool has_start = arguments.positional.size() > 1;
  const int64_t start = has_start ? integer_or(values[0], 0, "range's start") : 0;
  const int64_t stop = integer_or(values[has_start ? 1 : 0], 0, "range's stop");
  const int64_t step = integer_or(values[2], 1, "range's step");
  if (step == 0) fail("range's step must not be zero");
  std::vector<Value> items;
  for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
    if (static_cast<int64_t>(items.size()) == kMaxRangeItems) {
      fail(fmt::format("range has more than {} items", kMaxRangeItems));
    }
    context.budget.allocate(sizeof(Value));
    items.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return Value::list(std::move(items));
}

Value make_dict(const Arguments& arguments, CallContext& context) {
  Dict dict;
  if (arguments.positional.size() > 1) fail("dict expected at most 1 argument");
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional.front();
    for (const Value& item : iterate(source, context.budget)) {
      if (const Dict* other = source.dict()) {
        dict.insert(item, *other->find(item, context.budget), context.budget);
        continue;
      }
      const List* pair = item.list();
      if (pair == nullptr || pair->items.size() != 2) fail("dict needs pairs of key and value");
      dict.insert(pair->items[0], pair->items[1], context.budget);
    }
  }
  for (const auto& [name, value] : arguments.named) dict.insert(Value::string(name), value, context.budget);
  return Value::dict(std::move(dict));
}

Value make_namespace(const Arguments& arguments, CallContext& context) {
  context.budget.allocate(sizeof(Namespace));
  auto space = std::make_unique<Namespace>();
  if (arguments.positional.size() > 1) fail("namespace expected at most 1 argument");
  if (!arguments.positional.empty()) {
    const Dict* dict = arguments.positional.front().dict();
    if (dict == nullptr) fail("namespace needs a dictionary");
    for (const auto& [key, value] : dict->entries()) {
      context.budget.step(space->attributes.size());
      space->set(to_text(key, context.budget), value);
    }
  }
  for (const auto& [name, value] : arguments.named) space->set(name, value);
  context.namespaces.push_back(std::move(space));
  return Value(context.namespaces.back().get());
}

Value raise_exception(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("raise_exception", {"message"});
  throw TemplateError(TemplateError::Kind::kRaised, to_text(values[0], context.budget));
}

Value strftime_now(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("strftime_now", {"format"});
  const std::string format = string_or(values[0], "", "strftime_now's format");
  if (format.empty()) return Value::string("");
  std::array<char, 1024> buffer{};
  const size_t n = std::strftime(buffer.data(), buffer.size(), format.c_str(), &context.now);
  if (n == 0) fail("strftime_now's format gives nothing, or more than 1023 bytes");
  context.budget.allocate(n);
  return Value::string(std::string(buffer.data(), n));
}

constexpr std::array kFunctions = {
    Function{"dict", make_dict},
    Function{"namespace", make_namespace},
    Function{"raise_exception", raise_exception},
    Function{"range", range},
    Function{"strftime_now", strftime_now},
};

}  // namespace

std::span<const Function> global_functions() { return kFunctions; }

}  // namespace halod::jinja
