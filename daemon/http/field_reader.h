// Reads a JSON object's fields by type and range, and remembers the first thing wrong.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace halod {

struct NumberRange {
  double min = 0;
  double max = 0;
  bool min_is_exclusive = false;
  bool max_is_exclusive = false;
};

/// Getters return nothing for a field that is absent or null, and also when it is wrong: then error() names
/// it and says what is expected. So a caller reads all fields and checks once. Thread: one. Borrows the
/// object.
class FieldReader {
 public:
  /// `path` is put in front of names in messages: "messages[2]".
  explicit FieldReader(const boost::json::object& object, std::string path = {})
      : object_(&object), path_(std::move(path)) {}

  /// nullptr when absent or null.
  const boost::json::value* find(std::string_view name) const;
  std::optional<bool> boolean(std::string_view name);
  std::optional<double> number(std::string_view name, const NumberRange& range);
  /// Accepts 5.0 for 5, as JSON does not tell them apart.
  std::optional<int64_t> integer(std::string_view name, int64_t min, int64_t max);
  std::optional<std::string_view> string(std::string_view name);
  const boost::json::object* object(std::string_view name);
  const boost::json::array* array(std::string_view name);
  /// A string, or an array of at most `max_count` strings; none of them empty.
  std::vector<std::string> strings(std::string_view name, size_t max_count);

  /// Records an error about a field unless there is one already.
  void fail(std::string_view name, std::string_view message, ErrorCode code = ErrorCode::kInvalidArgument);
  /// Takes over the error of a reader of an object inside this one, unless there is one already.
  void adopt(const FieldReader& inner) {
    if (!error_) error_ = inner.error_;
  }
  std::string path_of(std::string_view name) const;
  bool failed() const { return error_.has_value(); }
  const Error& error() const { return *error_; }

 private:
  const boost::json::object* object_;
  std::string path_;
  std::optional<Error> error_;
};

/// "a number", "an array", …: for messages.
std::string_view kind_name(const boost::json::value& value);

}  // namespace halod
