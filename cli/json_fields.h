// Reading JSON that another program wrote: whatever is missing or of another kind is empty, never an error.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <string>
#include <string_view>

namespace halod::cli {

/// null for a text that is no JSON.
boost::json::value parse_or_null(std::string_view text);
/// A member of an object; nullptr when there is none, or when it is null.
const boost::json::value* find_member(const boost::json::value& value, std::string_view name);

/// A string as it is, anything else as JSON writes it; empty when missing.
std::string text_of(const boost::json::value& value, std::string_view name);
double number_of(const boost::json::value& value, std::string_view name);   ///< 0 when missing
uint64_t count_of(const boost::json::value& value, std::string_view name);  ///< 0 when missing or negative
bool flag_of(const boost::json::value& value, std::string_view name);       ///< false when missing
const boost::json::array& items_of(const boost::json::value& value, std::string_view name);

}  // namespace halod::cli
