#include "runtime/text/jinja/string_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "runtime/text/jinja/text.h"
#include "runtime/text/utf8.h"

namespace halod::jinja {
namespace {

constexpr int64_t kMaxWidth = 1'000'000;

/// One "%-5.2f".
struct Conversion {
  bool left_aligned = false;
  bool zero_padded = false;
  std::string sign;  // "+", " " or nothing
  bool alternate = false;
  int64_t width = 0;
  int64_t precision = -1;
  char type = 's';
};

class PercentFormatter {
 public:
  PercentFormatter(std::string_view format, const Value& operand, Budget& budget)
      : rest_(format), operand_(operand), budget_(budget) {}

  std::string run() {
    while (!rest_.empty()) {
      const size_t n_plain = std::min(rest_.find('%'), rest_.size());
      append(rest_.substr(0, n_plain));
      rest_.remove_prefix(n_plain);
      if (!rest_.empty()) convert();
    }
    const List* tuple = operand_.list();
    const bool all_used = operand_.dict() != nullptr ||
                          next_ == (tuple != nullptr && tuple->is_tuple ? tuple->items.size() : 1);
    if (!all_used) fail("not all arguments converted during string formatting");
    return std::move(out_);
  }

 private:
  void append(std::string_view text) {
    budget_.allocate(text.size());
    out_ += text;
  }

  char take() {
    if (rest_.empty()) fail("incomplete format");
    const char c = rest_.front();
    rest_.remove_prefix(1);
    return c;
  }

  int64_t take_number() {
    int64_t number = 0;
    while (!rest_.empty() && rest_.front() >= '0' && rest_.front() <= '9') {
      number = std::min(number * 10 + (take() - '0'), kMaxWidth + 1);
    }
    if (number > kMaxWidth) fail("a width or precision in a format is larger than 1000000");
    return number;
  }

  void convert() {
    take();  // '%'
    const Value* named = take_name();
    Conversion conversion = take_flags();
    conversion.width = take_number();
    if (!rest_.empty() && rest_.front() == '.') {
      take();
      conversion.precision = take_number();
    }
    conversion.type = take();
    if (conversion.type == '%') return append("%");
    const Value value = named != nullptr ? *named : next_argument();
    pad(conversion, body(conversion, value));
  }

  /// "(name)" after the percent sign.
  const Value* take_name() {
    if (rest_.empty() || rest_.front() != '(') return nullptr;
    const size_t end = rest_.find(')');
    if (end == std::string_view::npos) fail("incomplete format key");
    const std::string_view name = rest_.substr(1, end - 1);
    rest_.remove_prefix(end + 1);
    if (operand_.dict() == nullptr) fail("format requires a mapping");
    const Value* value = operand_.dict()->find(name);
    if (value == nullptr) fail(fmt::format("KeyError: '{}'", name));
    return value;
  }

  Conversion take_flags() {
    Conversion conversion;
    while (!rest_.empty() && std::string_view("-0+ #").find(rest_.front()) != std::string_view::npos) {
      const char flag = take();
      if (flag == '-') conversion.left_aligned = true;
      if (flag == '0') conversion.zero_padded = true;
      if (flag == '#') conversion.alternate = true;
      if (flag == '+' || (flag == ' ' && conversion.sign.empty())) conversion.sign = flag;
    }
    return conversion;
  }

  Value next_argument() {
    const List* tuple = operand_.list();
    if (tuple == nullptr || !tuple->is_tuple) {
      if (next_++ > 0) fail("not enough arguments for format string");
      return operand_;
    }
    if (next_ >= tuple->items.size()) fail("not enough arguments for format string");
    return tuple->items[next_++];
  }

  std::string body(const Conversion& conversion, const Value& value) {
    switch (conversion.type) {
      case 's':
        return cut(to_text(value, budget_), conversion);
      case 'r': {
        std::string text;
        append_repr(text, value, budget_);
        return cut(std::move(text), conversion);
      }
      case 'c':
        if (value.is_string()) return *value.text();
        [[fallthrough]];
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o':
      case 'f':
      case 'F':
      case 'e':
      case 'E':
      case 'g':
      case 'G':
        return number(conversion, value);
      default:
        fail(fmt::format("unsupported format character '{}'", conversion.type));
    }
  }

  static std::string cut(std::string text, const Conversion& conversion) {
    if (conversion.precision < 0) return text;
    const auto all = characters(text);
    const auto n = static_cast<size_t>(conversion.precision);
    return n < all.size() ? text.substr(0, static_cast<size_t>(all[n].data() - text.data())) : text;
  }

  static std::string number(const Conversion& conversion, const Value& value) {
    if (!value.is_number())
      fail(fmt::format("%{} format: a number is required, not {}", conversion.type, value.type_name()));
    if (conversion.type == 'c') {
      std::string text;
      append_utf8(text, static_cast<char32_t>(std::clamp<int64_t>(integer_of(value), 0, 0x110000)));
      return text;
    }
    const bool is_real = std::string_view("fFeEgG").find(conversion.type) != std::string_view::npos;
    return is_real ? real(conversion, value.as_double()) : integer(conversion, integer_of(value));
  }

  static int64_t integer_of(const Value& value) {
    if (!value.is<double>()) return value.as_integer();
    const double number = value.as_double();
    if (!(number > -9e18 && number < 9e18)) fail("a number in a format does not fit 64 bits");
    return static_cast<int64_t>(number);
  }

  static std::string real(const Conversion& conversion, double number) {
    const int precision =
        conversion.precision < 0 ? 6 : static_cast<int>(std::min<int64_t>(conversion.precision, 300));
    const std::string magnitude = [&] {
      switch (conversion.type) {
        case 'f':
        case 'F':
          return fmt::format("{:.{}f}", std::abs(number), precision);
        case 'e':
          return fmt::format("{:.{}e}", std::abs(number), precision);
        case 'E':
          return fmt::format("{:.{}E}", std::abs(number), precision);
        case 'g':
          return fmt::format("{:.{}g}", std::abs(number), precision);
        default:
          return fmt::format("{:.{}G}", std::abs(number), precision);
      }
    }();
    return (std::signbit(number) ? "-" : conversion.sign) + magnitude;
  }

  static std::string integer(const Conversion& conversion, int64_t number) {
    const uint64_t magnitude =
        number < 0 ? uint64_t{0} - static_cast<uint64_t>(number) : static_cast<uint64_t>(number);
    std::string digits;
    switch (conversion.type) {
      case 'x':
        digits = (conversion.alternate ? "0x" : "") + fmt::format("{:x}", magnitude);
        break;
      case 'X':
        digits = (conversion.alternate ? "0X" : "") + fmt::format("{:X}", magnitude);
        break;
      case 'o':
        digits = (conversion.alternate ? "0o" : "") + fmt::format("{:o}", magnitude);
        break;
      default:
        digits = fmt::format("{}", magnitude);
        break;
    }
    if (conversion.precision > static_cast<int64_t>(digits.size())) {
      digits.insert(0, static_cast<size_t>(conversion.precision) - digits.size(), '0');
    }
    return (number < 0 ? "-" : conversion.sign) + digits;
  }

  void pad(const Conversion& conversion, std::string body) {
    const auto n = static_cast<int64_t>(n_characters(body));
    const auto n_missing = static_cast<size_t>(std::max<int64_t>(conversion.width - n, 0));
    budget_.allocate(n_missing);
    const bool is_number = std::string_view("src").find(conversion.type) == std::string_view::npos;
    if (conversion.left_aligned) {
      body.append(n_missing, ' ');
    } else if (conversion.zero_padded && is_number) {
      const bool has_sign =
          !body.empty() && std::string_view("+- ").find(body.front()) != std::string_view::npos;
      body.insert(has_sign ? 1 : 0, n_missing, '0');
    } else {
      body.insert(0, n_missing, ' ');
    }
    append(body);
  }

  std::string_view rest_;
  const Value& operand_;
  Budget& budget_;
  std::string out_;
  size_t next_ = 0;
};

const Value& replacement(std::string_view name, const Arguments& arguments, size_t& next) {
  if (name.empty() || std::ranges::all_of(name, [](char c) { return c >= '0' && c <= '9'; })) {
    size_t idx = 0;
    for (const char c : name) idx = std::min<size_t>(idx * 10 + static_cast<size_t>(c - '0'), 1'000'000);
    if (name.empty()) idx = next++;
    if (idx >= arguments.positional.size()) {
      fail(fmt::format("Replacement index {} out of range for positional args tuple", idx));
    }
    return arguments.positional[idx];
  }
  for (const auto& [key, value] : arguments.named) {
    if (key == name) return value;
  }
  fail(fmt::format(
      "str.format: there is no argument '{}' (attributes, conversions and formats are not supported)", name));
}

}  // namespace

std::string format_percent(std::string_view format, const Value& operand, Budget& budget) {
  return PercentFormatter(format, operand, budget).run();
}

std::string format_braces(std::string_view format, const Arguments& arguments, Budget& budget) {
  std::string out;
  size_t next = 0;
  while (!format.empty()) {
    const size_t n_plain = std::min(format.find_first_of("{}"), format.size());
    budget.allocate(n_plain);
    out += format.substr(0, n_plain);
    format.remove_prefix(n_plain);
    if (format.empty()) break;
    if (format.size() > 1 && format[0] == format[1]) {
      out += format.front();
      format.remove_prefix(2);
      continue;
    }
    const size_t end = format.find('}');
    if (format.front() == '}' || end == std::string_view::npos)
      fail("Single '}' or '{' encountered in format string");
    append_text(out, replacement(format.substr(1, end - 1), arguments, next), budget);
    format.remove_prefix(end + 1);
  }
  return out;
}

}  // namespace halod::jinja
