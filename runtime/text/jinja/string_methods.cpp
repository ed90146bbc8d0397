#include "runtime/text/jinja/string_methods.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "runtime/text/jinja/string_format.h"
#include "runtime/text/jinja/text.h"
#include "runtime/text/utf8.h"

namespace halod::jinja {
namespace {

const std::string& self_of(const Arguments& arguments) { return *arguments.positional.front().text(); }

Value new_string(std::string text, CallContext& context) {
  context.budget.allocate(text.size());
  return Value::string(std::move(text));
}

const std::string& required_text(const Value& value, std::string_view callee) {
  if (!value.is_string()) fail(fmt::format("{} takes a str, not {}", callee, value.type_name()));
  return *value.text();
}

template <std::string (*kMap)(std::string_view)>
Value map_text(const Arguments& arguments, CallContext& context) {
  arguments.bind("this method", {"self"});
  return new_string(kMap(self_of(arguments)), context);
}

template <bool kLeft, bool kRight>
Value strip(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("strip", {"self", "chars"});
  const std::string* set =
      values[1].is_undefined() || values[1].is_none() ? nullptr : &required_text(values[1], "strip");
  std::string_view text = self_of(arguments);
  context.budget.step(set != nullptr ? text.size() / 64 * set->size() : text.size() / 64);
  if (kLeft) text = strip_left(text, set);
  if (kRight) text = strip_right(text, set);
  return new_string(std::string(text), context);
}

Value split_method(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("split", {"self", "sep", "maxsplit"});
  return Value::list(
      split(self_of(arguments), values[1], integer_or(values[2], -1, "maxsplit"), context.budget));
}

Value rsplit(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("rsplit", {"self", "sep", "maxsplit"});
  const int64_t max_splits = integer_or(values[2], -1, "maxsplit");
  if (max_splits < 0) return Value::list(split(self_of(arguments), values[1], -1, context.budget));
  const std::string separator = string_or(values[1], "", "sep");
  std::string_view text = self_of(arguments);
  std::vector<Value> parts;
  while (static_cast<int64_t>(parts.size()) < max_splits) {
    if (separator.empty()) text = strip_right(text);
    size_t found = text.rfind(separator);
    size_t n_separator = separator.size();
    if (separator.empty()) {
      const auto is_break = [](char c) { return is_space(static_cast<unsigned char>(c)); };
      const auto space = std::find_if(text.rbegin(), text.rend(), is_break);
      found = space == text.rend() ? std::string_view::npos : static_cast<size_t>(text.rend() - space) - 1;
      n_separator = 1;
    }
    if (found == std::string_view::npos) break;
    parts.push_back(new_string(std::string(text.substr(found + n_separator)), context));
    text = text.substr(0, found);
  }
  if (separator.empty()) text = strip_right(text);
  if (!separator.empty() || !text.empty()) parts.push_back(new_string(std::string(text), context));
  std::reverse(parts.begin(), parts.end());
  return Value::list(std::move(parts));
}

Value splitlines(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("splitlines", {"self", "keepends"});
  std::vector<Value> lines;
  for (const std::string_view line : split_lines(self_of(arguments), flag_or(values[1], false))) {
    context.budget.allocate(sizeof(Value));
    lines.push_back(new_string(std::string(line), context));
  }
  return Value::list(std::move(lines));
}

template <bool (*kMatches)(std::string_view, std::string_view)>
Value matches(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("startswith or endswith", {"self", "affix"});
  const std::string_view text = self_of(arguments);
  if (const List* list = values[1].list(); list != nullptr && list->is_tuple) {
    context.budget.step(list->items.size());
    return Value(std::ranges::any_of(list->items, [text](const Value& affix) {
      return kMatches(text, required_text(affix, "startswith or endswith"));
    }));
  }
  return Value(kMatches(text, required_text(values[1], "startswith or endswith")));
}

bool starts_with(std::string_view text, std::string_view affix) { return text.starts_with(affix); }
bool ends_with(std::string_view text, std::string_view affix) { return text.ends_with(affix); }

Value replace(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("replace", {"self", "old", "new", "count"});
  const std::string& from = required_text(values[1], "replace");
  const std::string& to = required_text(values[2], "replace");
  // Before the work: the result can be as large as both multiplied.
  const std::string& text = self_of(arguments);
  context.budget.allocate(text.size() + (text.size() / std::max<size_t>(from.size(), 1) + 1) * to.size());
  return Value::string(replace_all(text, from, to, integer_or(values[3], -1, "count")));
}

int64_t character_position(std::string_view text, size_t byte_position) {
  if (byte_position == std::string_view::npos) return -1;
  return static_cast<int64_t>(n_characters(text.substr(0, byte_position)));
}

template <bool kFromRight, bool kMustBeThere>
Value find(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("find", {"self", "sub"});
  const std::string& text = self_of(arguments);
  const std::string& sub = required_text(values[1], "find");
  context.budget.step(text.size() / 64);
  const int64_t position = character_position(text, kFromRight ? text.rfind(sub) : text.find(sub));
  if (kMustBeThere && position < 0) fail("substring not found");
  return Value(position);
}

Value count(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("count", {"self", "sub"});
  const std::string& text = self_of(arguments);
  const std::string& sub = required_text(values[1], "count");
  context.budget.step(text.size() / 64);
  if (sub.empty()) return Value(static_cast<int64_t>(n_characters(text)) + 1);
  int64_t n = 0;
  for (size_t at = text.find(sub); at != std::string::npos; at = text.find(sub, at + sub.size())) ++n;
  return Value(n);
}

Value join(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("join", {"self", "iterable"});
  std::string text;
  bool first = true;
  for (const Value& item : iterate(values[1], context.budget)) {
    if (!first) append_text(text, values[0], context.budget);
    first = false;
    append_text(text, Value::string(required_text(item, "join")), context.budget);
  }
  return Value::string(std::move(text));
}

template <bool kPrefix>
Value remove_affix(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("removeprefix or removesuffix", {"self", "affix"});
  std::string_view text = self_of(arguments);
  const std::string& affix = required_text(values[1], "removeprefix or removesuffix");
  if (kPrefix && text.starts_with(affix)) text.remove_prefix(affix.size());
  if (!kPrefix && text.ends_with(affix)) text.remove_suffix(affix.size());
  return new_string(std::string(text), context);
}

template <bool kFromRight>
Value partition(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("partition", {"self", "sep"});
  const std::string& text = self_of(arguments);
  const std::string& separator = required_text(values[1], "partition");
  if (separator.empty()) fail("empty separator");
  context.budget.allocate(text.size());
  const size_t found = kFromRight ? text.rfind(separator) : text.find(separator);
  const Value empty = Value::string("");
  if (found == std::string::npos) {
    return kFromRight ? Value::tuple({empty, empty, values[0]}) : Value::tuple({values[0], empty, empty});
  }
  return Value::tuple({Value::string(text.substr(0, found)), values[1],
                       Value::string(text.substr(found + separator.size()))});
}

enum class Side { kLeft, kRight, kBoth };

template <Side kSide>
Value justify(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("ljust, rjust or center", {"self", "width", "fillchar"});
  const std::string& text = self_of(arguments);
  const std::string fill = string_or(values[2], " ", "fillchar");
  const auto width = static_cast<uint64_t>(std::max<int64_t>(integer_or(values[1], 0, "width"), 0));
  const uint64_t n = n_characters(text);
  const uint64_t n_missing = width > n ? width - n : 0;
  context.budget.allocate(text.size() + std::min(n_missing, kMaxBytes) * fill.size());
  // Python's center puts the odd one on the left when both the text's and the field's lengths are odd.
  uint64_t n_left = kSide == Side::kRight  ? n_missing
                    : kSide == Side::kLeft ? 0
                                           : n_missing / 2 + (n_missing & width & 1U);
  std::string result;
  for (uint64_t i = 0; i < n_left; ++i) result += fill;
  result += text;
  for (uint64_t i = n_left; i < n_missing; ++i) result += fill;
  return Value::string(std::move(result));
}

Value zfill(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("zfill", {"self", "width"});
  const std::string& text = self_of(arguments);
  const auto width = static_cast<uint64_t>(std::max<int64_t>(integer_or(values[1], 0, "width"), 0));
  const uint64_t n = n_characters(text);
  const uint64_t n_missing = width > n ? width - n : 0;
  context.budget.allocate(text.size() + n_missing);
  const size_t sign = !text.empty() && (text.front() == '-' || text.front() == '+') ? 1 : 0;
  return Value::string(text.substr(0, sign) + std::string(n_missing, '0') + text.substr(sign));
}

enum class Class { kAlpha, kDigit, kAlnum, kSpace };

/// Letters past ASCII count as letters: templates ask this of names and words.
template <Class kClass>
Value is_all(const Arguments& arguments, CallContext& context) {
  arguments.bind("this method", {"self"});
  const std::string& text = self_of(arguments);
  context.budget.step(text.size() / 8);
  const auto belongs = [](std::string_view character) {
    const char32_t c = next_utf8(character).code_point;
    const bool is_digit = c >= '0' && c <= '9';
    const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= 0x80 && !is_space(c));
    switch (kClass) {
      case Class::kAlpha:
        return is_letter;
      case Class::kDigit:
        return is_digit;
      case Class::kAlnum:
        return is_letter || is_digit;
      case Class::kSpace:
        return is_space(c);
    }
    return false;
  };
  return Value(!text.empty() && std::ranges::all_of(characters(text), belongs));
}

template <bool kUpper>
Value has_case(const Arguments& arguments, CallContext& context) {
  arguments.bind("this method", {"self"});
  const std::string& text = self_of(arguments);
  context.budget.step(text.size() / 8);
  const std::string lowered = lower(text);
  const std::string raised = upper(text);
  return Value(lowered != raised && text == (kUpper ? raised : lowered));
}

Value format(const Arguments& arguments, CallContext& context) {
  Arguments rest = arguments;
  rest.positional.erase(rest.positional.begin());
  return Value::string(format_braces(self_of(arguments), rest, context.budget));
}

constexpr std::array kStringMethods = {
    Function{"capitalize", map_text<capitalize>},
    Function{"center", justify<Side::kBoth>},
    Function{"count", count},
    Function{"endswith", matches<ends_with>},
    Function{"find", find<false, false>},
    Function{"format", format},
    Function{"index", find<false, true>},
    Function{"isalnum", is_all<Class::kAlnum>},
    Function{"isalpha", is_all<Class::kAlpha>},
    Function{"isdigit", is_all<Class::kDigit>},
    Function{"islower", has_case<false>},
    Function{"isnumeric", is_all<Class::kDigit>},
    Function{"isspace", is_all<Class::kSpace>},
    Function{"isupper", has_case<true>},
    Function{"join", join},
    Function{"ljust", justify<Side::kLeft>},
    Function{"lower", map_text<lower>},
    Function{"lstrip", strip<true, false>},
    Function{"partition", partition<false>},
    Function{"removeprefix", remove_affix<true>},
    Function{"removesuffix", remove_affix<false>},
    Function{"replace", replace},
    Function{"rfind", find<true, false>},
    Function{"rjust", justify<Side::kRight>},
    Function{"rpartition", partition<true>},
    Function{"rsplit", rsplit},
    Function{"rstrip", strip<false, true>},
    Function{"split", split_method},
    Function{"splitlines", splitlines},
    Function{"startswith", matches<starts_with>},
    Function{"strip", strip<true, true>},
    Function{"title", map_text<title>},
    Function{"upper", map_text<upper>},
    Function{"zfill", zfill},
};

}  // namespace

std::span<const Function> string_methods() { return kStringMethods; }

std::vector<Value> split(std::string_view text, const Value& separator, int64_t max_splits, Budget& budget) {
  std::vector<Value> parts;
  const auto add = [&](std::string_view part) {
    budget.allocate(part.size() + sizeof(Value) + sizeof(std::string));
    parts.push_back(Value::string(std::string(part)));
  };
  if (separator.is_undefined() || separator.is_none()) {
    text = strip_left(text);
    while (!text.empty() && (max_splits < 0 || static_cast<int64_t>(parts.size()) < max_splits)) {
      size_t end = 0;
      while (end < text.size() && !is_space(next_utf8(text.substr(end)).code_point))
        end += next_utf8(text.substr(end)).n_bytes;
      add(text.substr(0, end));
      text = strip_left(text.substr(end));
    }
    if (!text.empty()) add(text);
    return parts;
  }
  const std::string& by = required_text(separator, "split");
  if (by.empty()) fail("empty separator");
  while (max_splits < 0 || static_cast<int64_t>(parts.size()) < max_splits) {
    const size_t found = text.find(by);
    if (found == std::string_view::npos) break;
    add(text.substr(0, found));
    text.remove_prefix(found + by.size());
  }
  add(text);
  return parts;
}

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t n_line = std::min(text.find_first_of("\n\r"), text.size());
    size_t n_all = std::min(n_line + 1, text.size());
    if (n_line + 1 < text.size() && text[n_line] == '\r' && text[n_line + 1] == '\n') ++n_all;
    lines.push_back(text.substr(0, keep_ends ? n_all : n_line));
    text.remove_prefix(n_all);
  }
  return lines;
}

}  // namespace halod::jinja
