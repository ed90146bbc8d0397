#include "runtime/text/jinja/json_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>

#include "runtime/text/utf8.h"

namespace halod::jinja {
namespace {

class JsonWriter {
 public:
  JsonWriter(const JsonStyle& style, Budget& budget) : style_(style), budget_(budget) {}

  std::string write(const Value& value) {
    write_value(value, 0);
    return std::move(out_);
  }

 private:
  void append(std::string_view text) {
    budget_.allocate(text.size());
    out_ += text;
  }

  void write_value(const Value& value, int level) {
    budget_.step();
    if (const std::string* text = value.text()) {
      write_string(*text);
    } else if (const List* list = value.list()) {
      write_list(*list, level);
    } else if (const Dict* dict = value.dict()) {
      write_dict(*dict, level);
    } else if (!write_scalar(value)) {
      fail(fmt::format("Object of type {} is not JSON serializable", value.type_name()));
    }
  }

  bool write_scalar(const Value& value) {
    if (value.is_none()) {
      append("null");
    } else if (const bool* flag = value.get_if<bool>()) {
      append(*flag ? "true" : "false");
    } else if (const int64_t* number = value.integer()) {
      append(std::to_string(*number));
    } else if (const double* real = value.get_if<double>()) {
      // As json.dumps does, although it is not JSON.
      append(std::isnan(*real)   ? "NaN"
             : std::isinf(*real) ? (*real > 0 ? "Infinity" : "-Infinity")
                                 : float_text(*real));
    } else {
      return false;
    }
    return true;
  }

  void write_list(const List& list, int level) {
    if (list.items.empty()) return append("[]");
    append("[");
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) append(style_.item_separator);
      break_line(level + 1);
      write_value(list.items[i], level + 1);
    }
    break_line(level);
    append("]");
  }

  void write_dict(const Dict& dict, int level) {
    auto entries = dict.entries();
    if (entries.empty()) return append("{}");
    if (style_.sorts_keys) {
      std::ranges::stable_sort(
          entries, [this](const auto& a, const auto& b) { return less(a.first, b.first, budget_); });
    }
    append("{");
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) append(style_.item_separator);
      break_line(level + 1);
      write_key(entries[i].first);
      append(style_.key_separator);
      write_value(entries[i].second, level + 1);
    }
    break_line(level);
    append("}");
  }

  void write_key(const Value& key) {
    if (const std::string* text = key.text()) return write_string(*text);
    append("\"");
    if (!write_scalar(key))
      fail(fmt::format("keys must be str, int, float, bool or None, not {}", key.type_name()));
    append("\"");
  }

  void break_line(int level) {
    if (!style_.indent) return;
    append("\n");
    for (int i = 0; i < level; ++i) append(*style_.indent);
  }

  void write_string(std::string_view text) {
    append("\"");
    while (!text.empty()) {
      const size_t n_plain = std::min(text.find_first_of(special_bytes()), text.size());
      append(text.substr(0, n_plain));
      text.remove_prefix(n_plain);
      if (text.empty()) break;
      const Utf8Step step = next_utf8(text);
      write_special(step.code_point);
      text.remove_prefix(step.n_bytes);
    }
    append("\"");
  }

  /// Bytes that cannot stand for themselves.
  std::string_view special_bytes() const {
    static const std::string kControl = [] {
      std::string bytes = "\"\\";
      for (char c = 0; c < 0x20; ++c) bytes += c;
      return bytes;
    }();
    static const std::string kControlAndNonAscii = [] {
      std::string bytes = kControl;
      for (int c = 0x80; c < 0x100; ++c) bytes += static_cast<char>(c);
      return bytes;
    }();
    return style_.ascii_only ? kControlAndNonAscii : kControl;
  }

  void write_special(char32_t c) {
    switch (c) {
      case '"':
        return append("\\\"");
      case '\\':
        return append("\\\\");
      case '\n':
        return append("\\n");
      case '\r':
        return append("\\r");
      case '\t':
        return append("\\t");
      case '\b':
        return append("\\b");
      case '\f':
        return append("\\f");
      default:
        break;
    }
    const auto unit = static_cast<uint32_t>(c);
    if (unit < 0x10000) return append(fmt::format("\\u{:04x}", unit));
    append(fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((unit - 0x10000) >> 10U),
                       0xDC00 + ((unit - 0x10000) & 0x3FFU)));
  }

  const JsonStyle& style_;
  Budget& budget_;
  std::string out_;
};

}  // namespace

Value from_json(const boost::json::value& json, Budget& budget) {
  budget.allocate(sizeof(Value));
  switch (json.kind()) {
    case boost::json::kind::null:
      return Value::none();
    case boost::json::kind::bool_:
      return Value(json.get_bool());
    case boost::json::kind::int64:
      return Value(json.get_int64());
    case boost::json::kind::uint64: {
      const uint64_t number = json.get_uint64();
      if (number <= static_cast<uint64_t>(INT64_MAX)) return Value(static_cast<int64_t>(number));
      return Value(static_cast<double>(number));
    }
    case boost::json::kind::double_:
      return Value(json.get_double());
    case boost::json::kind::string: {
      budget.allocate(json.get_string().size());
      return Value::string(std::string(json.get_string()));
    }
    case boost::json::kind::array: {
      std::vector<Value> items;
      const Budget::Level level(budget);
      for (const auto& item : json.get_array()) items.push_back(from_json(item, budget));
      return Value::list(std::move(items));
    }
    case boost::json::kind::object: {
      Dict dict;
      const Budget::Level level(budget);
      for (const auto& [key, value] : json.get_object()) {
        dict.insert(Value::string(std::string(key)), from_json(value, budget), budget);
      }
      return Value::dict(std::move(dict));
    }
  }
  return Value();
}

std::string to_json(const Value& value, const JsonStyle& style, Budget& budget) {
  return JsonWriter(style, budget).write(value);
}

}  // namespace halod::jinja
