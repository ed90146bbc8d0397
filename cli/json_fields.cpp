#include "cli/json_fields.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

namespace halod::cli {

namespace json = boost::json;

json::value parse_or_null(std::string_view text) {
  json::error_code ec;
  json::value value = json::parse(json::string_view(text.data(), text.size()), ec);
  return ec ? json::value(nullptr) : value;
}

const json::value* find_member(const json::value& value, std::string_view name) {
  const json::object* object = value.if_object();
  const json::value* found =
      object ? object->if_contains(json::string_view(name.data(), name.size())) : nullptr;
  return found && !found->is_null() ? found : nullptr;
}

std::string text_of(const json::value& value, std::string_view name) {
  const json::value* found = find_member(value, name);
  if (!found) return "";
  return found->is_string() ? std::string(found->get_string()) : json::serialize(*found);
}

double number_of(const json::value& value, std::string_view name) {
  const json::value* found = find_member(value, name);
  json::error_code ec;
  const double number = found && found->is_number() ? found->to_number<double>(ec) : 0;
  return ec ? 0 : number;
}

uint64_t count_of(const json::value& value, std::string_view name) {
  const json::value* found = find_member(value, name);
  json::error_code ec;
  const uint64_t number = found && found->is_number() ? found->to_number<uint64_t>(ec) : 0;
  return ec ? 0 : number;
}

bool flag_of(const json::value& value, std::string_view name) {
  const json::value* found = find_member(value, name);
  return found && found->is_bool() && found->get_bool();
}

const json::array& items_of(const json::value& value, std::string_view name) {
  static const json::array kNone;
  const json::value* found = find_member(value, name);
  return found && found->is_array() ? found->get_array() : kNone;
}

}  // namespace halod::cli
