#include "runtime/text/jinja/filters.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <optional>

#include "runtime/text/jinja/attributes.h"
#include "runtime/text/jinja/json_text.h"
#include "runtime/text/jinja/operators.h"
#include "runtime/text/jinja/sequence_filters.h"
#include "runtime/text/jinja/string_format.h"
#include "runtime/text/jinja/string_methods.h"
#include "runtime/text/jinja/text.h"

namespace halod::jinja {
namespace {

const Value& input(const Arguments& arguments) { return arguments.positional.front(); }

Value new_string(std::string text, CallContext& context) {
  context.budget.allocate(text.size());
  return Value::string(std::move(text));
}

template <std::string (*kMap)(std::string_view)>
Value map_text(const Arguments& arguments, CallContext& context) {
  arguments.bind("this filter", {"s"});
  return new_string(kMap(to_text(input(arguments), context.budget)), context);
}

Value trim(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("trim", {"value", "chars"});
  const std::string text = to_text(values[0], context.budget);
  const std::string set = string_or(values[1], "", "trim's chars");
  const std::string* chars = values[1].is_string() ? &set : nullptr;
  context.budget.step(text.size() / 64 * (set.size() + 1));
  return new_string(std::string(strip_right(strip_left(text, chars), chars)), context);
}

Value to_string(const Arguments& arguments, CallContext& context) {
  arguments.bind("string", {"value"});
  if (input(arguments).is_string()) return input(arguments);
  return Value::string(to_text(input(arguments), context.budget));
}

Value keep(const Arguments& arguments, CallContext&) {
  arguments.bind("safe", {"value"});
  return input(arguments);  // nothing is escaped automatically
}

Value replace(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("replace", {"s", "old", "new", "count"});
  const std::string text = to_text(values[0], context.budget);
  const std::string from = to_text(values[1], context.budget);
  const std::string to = to_text(values[2], context.budget);
  context.budget.allocate(text.size() + (text.size() / std::max<size_t>(from.size(), 1) + 1) * to.size());
  return Value::string(replace_all(text, from, to, integer_or(values[3], -1, "replace's count")));
}

std::string escape_html(std::string_view text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '\'':
        result += "&#39;";
        break;
      case '"':
        result += "&#34;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

Value indent(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("indent", {"s", "width", "first", "blank"});
  const std::string text = to_text(values[0], context.budget) + "\n";
  const std::string prefix =
      values[1].is_string()
          ? *values[1].text()
          : std::string(
                static_cast<size_t>(std::clamp<int64_t>(integer_or(values[1], 4, "indent's width"), 0, 1000)),
                ' ');
  const bool indents_blank = flag_or(values[3], false);
  std::string result = flag_or(values[2], false) ? prefix : "";
  bool first = true;
  for (const std::string_view line : split_lines(text, false)) {
    context.budget.allocate(line.size() + prefix.size() + 1);
    if (!first) result += '\n';
    if (!first && (indents_blank || !line.empty())) result += prefix;
    result += line;
    first = false;
  }
  return Value::string(std::move(result));
}

Value truncate(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("truncate", {"s", "length", "killwords", "end", "leeway"});
  const std::string text = to_text(values[0], context.budget);
  const int64_t limit = integer_or(values[1], 255, "truncate's length");
  const std::string end = string_or(values[3], "...", "truncate's end");
  const int64_t leeway = integer_or(values[4], 5, "truncate's leeway");
  const auto n_end = static_cast<int64_t>(n_characters(end));
  context.budget.allocate(text.size() * sizeof(std::string_view));
  const auto all = characters(text);
  if (limit < n_end || leeway < 0)
    fail(fmt::format("truncate: length {} is less than that of its end, {}", limit, n_end));
  if (static_cast<int64_t>(all.size()) - leeway <= limit) return new_string(text, context);
  const auto n_kept = static_cast<size_t>(limit - n_end);
  std::string kept = text.substr(0, static_cast<size_t>(all[n_kept].data() - text.data()));
  if (!flag_or(values[2], false)) kept = kept.substr(0, std::min(kept.rfind(' '), kept.size()));
  return new_string(kept + end, context);
}

Value center(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("center", {"value", "width"});
  const Value width = values[1].is_undefined() ? Value(int64_t{80}) : values[1];
  const Arguments call{.positional = {Value::string(to_text(values[0], context.budget)), width}};
  return find_function(string_methods(), "center")->call(call, context);
}

Value count_words(const Arguments& arguments, CallContext& context) {
  arguments.bind("wordcount", {"s"});
  const std::string text = to_text(input(arguments), context.budget);
  return Value(static_cast<int64_t>(split(text, Value(), -1, context.budget).size()));
}

Value encode_url(const Arguments& arguments, CallContext& context) {
  arguments.bind("urlencode", {"value"});
  std::string result;
  for (const char c : to_text(input(arguments), context.budget)) {
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                          std::string_view("_.-~/").find(c) != std::string_view::npos;
    result += is_plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return new_string(std::move(result), context);
}

Value format(const Arguments& arguments, CallContext& context) {
  std::vector<Value> operands(arguments.positional.begin() + 1, arguments.positional.end());
  const std::string text = to_text(input(arguments), context.budget);
  if (arguments.named.empty())
    return Value::string(format_percent(text, Value::tuple(std::move(operands)), context.budget));
  Dict named;
  for (const auto& [name, value] : arguments.named) named.insert(Value::string(name), value, context.budget);
  return Value::string(format_percent(text, Value::dict(std::move(named)), context.budget));
}

std::string without_space_and_underscores(std::string_view text) {
  std::string result(strip_right(strip_left(text)));
  std::erase(result, '_');
  return result;
}

std::optional<int64_t> parse_integer(std::string_view raw, int base) {
  std::string text = lower(without_space_and_underscores(raw));
  if (base == 16 && text.starts_with("0x")) text.erase(0, 2);
  int64_t number = 0;
  const char* begin = text.data() + (text.starts_with("+") ? 1 : 0);
  const auto parsed = std::from_chars(begin, text.data() + text.size(), number, base);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<double> parse_real(std::string_view raw) {
  const std::string text = without_space_and_underscores(raw);
  const char* begin = text.data() + (text.starts_with("+") ? 1 : 0);
  double number = 0;
  const auto parsed = std::from_chars(begin, text.data() + text.size(), number);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<int64_t> truncated(double number) {
  if (!(number > -9.2e18 && number < 9.2e18)) return std::nullopt;
  return static_cast<int64_t>(number);
}

Value to_integer(const Arguments& arguments, CallContext&) {
  const auto values = arguments.bind("int", {"value", "default", "base"});
  const Value fallback = values[1].is_undefined() ? Value(int64_t{0}) : values[1];
  std::optional<int64_t> number;
  if (const std::string* text = values[0].text()) {
    const int64_t base = integer_or(values[2], 10, "int's base");
    if (base < 2 || base > 36) fail(fmt::format("int's base is {}; it must be 2 to 36", base));
    number = parse_integer(*text, static_cast<int>(base));
    if (const auto real = parse_real(*text); !number && real) number = truncated(*real);
  } else if (values[0].is<double>()) {
    number = truncated(values[0].as_double());
  } else if (values[0].is_number()) {
    number = values[0].as_integer();
  }
  return number ? Value(*number) : fallback;
}

Value to_float(const Arguments& arguments, CallContext&) {
  const auto values = arguments.bind("float", {"value", "default"});
  if (values[0].is_number()) return Value(values[0].as_double());
  const auto number = values[0].is_string() ? parse_real(*values[0].text()) : std::nullopt;
  if (number) return Value(*number);
  return values[1].is_undefined() ? Value(0.0) : values[1];
}

Value absolute(const Arguments& arguments, CallContext&) {
  arguments.bind("abs", {"value"});
  const Value& value = input(arguments);
  if (!value.is_number()) fail(fmt::format("bad operand type for abs(): '{}'", value.type_name()));
  if (value.is<double>()) return Value(std::abs(value.as_double()));
  return value.as_integer() < 0 ? negate(value) : Value(value.as_integer());
}

Value round_number(const Arguments& arguments, CallContext&) {
  const auto values = arguments.bind("round", {"value", "precision", "method"});
  const int64_t precision = std::clamp<int64_t>(integer_or(values[1], 0, "round's precision"), 0, 300);
  const std::string method = string_or(values[2], "common", "round's method");
  if (!values[0].is_number()) fail(fmt::format("round needs a number, not {}", values[0].type_name()));
  if (method == "common") {
    if (!values[0].is<double>()) return Value(values[0].as_integer());
    // Through decimal digits, as Python rounds: ties of the exact binary value go to even.
    return Value(std::strtod(fmt::format("{:.{}f}", values[0].as_double(), precision).c_str(), nullptr));
  }
  if (method != "ceil" && method != "floor") fail("round's method must be common, ceil or floor");
  const double scale = std::pow(10.0, static_cast<double>(precision));
  const double scaled = values[0].as_double() * scale;
  return Value((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
}

Value use_default(const Arguments& arguments, CallContext&) {
  const auto values = arguments.bind("default", {"value", "default_value", "boolean"});
  const bool replaces = values[0].is_undefined() || (flag_or(values[2], false) && !values[0].truthy());
  if (!replaces) return values[0];
  return values[1].is_undefined() ? Value::string("") : values[1];
}

Value attribute(const Arguments& arguments, CallContext& context) {
  const auto values = arguments.bind("attr", {"obj", "name"});
  return get_attribute(values[0], to_text(values[1], context.budget), context.budget);
}

Value tojson(const Arguments& arguments, CallContext& context) {
  const auto values =
      arguments.bind("tojson", {"value", "ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  if (values[2].is_string()) style.indent = *values[2].text();
  if (values[2].is<int64_t>()) {
    style.indent = std::string(static_cast<size_t>(std::clamp<int64_t>(values[2].as_integer(), 0, 100)), ' ');
  }
  if (style.indent) style.item_separator = ",";
  if (const List* separators = values[3].list()) {
    if (separators->items.size() != 2) fail("tojson's separators must be two strings");
    style.item_separator = string_or(separators->items[0], ", ", "a separator");
    style.key_separator = string_or(separators->items[1], ": ", "a separator");
  }
  style.ascii_only = flag_or(values[1], false);
  style.sorts_keys = flag_or(values[4], false);
  return Value::string(to_json(values[0], style, context.budget));
}

constexpr std::array kFilters = {
    Function{"abs", absolute},
    Function{"attr", attribute},
    Function{"capitalize", map_text<capitalize>},
    Function{"center", center},
    Function{"d", use_default},
    Function{"default", use_default},
    Function{"e", map_text<escape_html>},
    Function{"escape", map_text<escape_html>},
    Function{"float", to_float},
    Function{"forceescape", map_text<escape_html>},
    Function{"format", format},
    Function{"indent", indent},
    Function{"int", to_integer},
    Function{"lower", map_text<lower>},
    Function{"replace", replace},
    Function{"round", round_number},
    Function{"safe", keep},
    Function{"string", to_string},
    Function{"title", map_text<title>},
    Function{"tojson", tojson},
    Function{"trim", trim},
    Function{"truncate", truncate},
    Function{"upper", map_text<upper>},
    Function{"urlencode", encode_url},
    Function{"wordcount", count_words},
};

}  // namespace

const Function* find_filter(std::string_view name) {
  const Function* filter = find_function(kFilters, name);
  return filter != nullptr ? filter : find_function(sequence_filters(), name);
}

}  // namespace halod::jinja
