#include "daemon/http/field_reader.h"

#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <cmath>

namespace halod {

namespace json = boost::json;

std::string_view kind_name(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return "null";
    case json::kind::bool_:
      return "a boolean";
    case json::kind::string:
      return "a string";
    case json::kind::array:
      return "an array";
    case json::kind::object:
      return "an object";
    default:
      return "a number";
  }
}

std::string FieldReader::path_of(std::string_view name) const {
  return path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name);
}

void FieldReader::fail(std::string_view name, std::string_view message, ErrorCode code) {
  if (error_) return;
  const std::string path = path_of(name);
  error_ = Error{code, fmt::format("{} {}", path, message), path};
}

const json::value* FieldReader::find(std::string_view name) const {
  const json::value* value = object_->if_contains(name);
  return value && !value->is_null() ? value : nullptr;
}

std::optional<bool> FieldReader::boolean(std::string_view name) {
  const json::value* value = find(name);
  if (!value) return std::nullopt;
  if (value->is_bool()) return value->get_bool();
  fail(name, fmt::format("is {}; it takes true or false", kind_name(*value)));
  return std::nullopt;
}

std::optional<double> FieldReader::number(std::string_view name, const NumberRange& range) {
  const json::value* value = find(name);
  if (!value) return std::nullopt;
  if (!value->is_number()) {
    fail(name, fmt::format("is {}; it takes a number", kind_name(*value)));
    return std::nullopt;
  }
  const double number = value->to_number<double>();
  const bool above = range.min_is_exclusive ? number > range.min : number >= range.min;
  const bool below = range.max_is_exclusive ? number < range.max : number <= range.max;
  if (above && below && std::isfinite(number)) return number;
  fail(name, fmt::format("is {}; it takes a number from {}{} to {}{}", number,
                         range.min_is_exclusive ? "above " : "", range.min,
                         range.max_is_exclusive ? "below " : "", range.max));
  return std::nullopt;
}

std::optional<int64_t> FieldReader::integer(std::string_view name, int64_t min, int64_t max) {
  const json::value* value = find(name);
  if (!value) return std::nullopt;
  if (!value->is_number()) {
    fail(name, fmt::format("is {}; it takes a whole number", kind_name(*value)));
    return std::nullopt;
  }
  if (const int64_t* exact = value->if_int64(); exact && *exact >= min && *exact <= max) return *exact;
  if (const double* real = value->if_double()) {
    // Only where a double still counts in ones.
    const bool is_whole = std::abs(*real) <= 0x1p53 && *real == std::floor(*real);
    if (is_whole && *real >= static_cast<double>(min) && *real <= static_cast<double>(max))
      return static_cast<int64_t>(*real);
  }
  fail(name, fmt::format("is {}; it takes a whole number from {} to {}", json::serialize(*value), min, max));
  return std::nullopt;
}

std::optional<std::string_view> FieldReader::string(std::string_view name) {
  const json::value* value = find(name);
  if (!value) return std::nullopt;
  if (value->is_string()) return std::string_view(value->get_string());
  fail(name, fmt::format("is {}; it takes a string", kind_name(*value)));
  return std::nullopt;
}

const json::object* FieldReader::object(std::string_view name) {
  const json::value* value = find(name);
  if (value && !value->is_object()) fail(name, fmt::format("is {}; it takes an object", kind_name(*value)));
  return value ? value->if_object() : nullptr;
}

const json::array* FieldReader::array(std::string_view name) {
  const json::value* value = find(name);
  if (value && !value->is_array()) fail(name, fmt::format("is {}; it takes an array", kind_name(*value)));
  return value ? value->if_array() : nullptr;
}

std::vector<std::string> FieldReader::strings(std::string_view name, size_t max_count) {
  const json::value* value = find(name);
  std::vector<std::string> strings;
  if (!value) return strings;
  const json::array list = value->is_array() ? value->get_array() : json::array{*value};
  if (list.size() > max_count)
    fail(name, fmt::format("has {} strings; at most {} are taken", list.size(), max_count));
  for (size_t i = 0; i < list.size() && !failed(); ++i) {
    const std::string at = value->is_array() ? fmt::format("{}[{}]", name, i) : std::string(name);
    if (!list[i].is_string()) {
      fail(at, fmt::format("is {}; it takes a string{}", kind_name(list[i]),
                           value->is_array() ? "" : " or an array of strings"));
    } else if (list[i].get_string().empty()) {
      fail(at, "is empty; it takes at least one character");
    } else {
      strings.emplace_back(list[i].get_string());
    }
  }
  return strings;
}

}  // namespace halod
