#include "daemon/http/json_body.h"

#include <fmt/format.h>

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/stream_parser.hpp>
#include <set>
#include <string>
#include <vector>

namespace halod {
namespace {

namespace json = boost::json;

/// Boost.JSON keeps the last of two equal keys without a word. What the client meant is then a guess, so it
/// is told instead. This handler only watches the keys go by.
class DuplicateKeyFinder {
 public:
  static constexpr size_t max_object_size = static_cast<size_t>(-1);
  static constexpr size_t max_array_size = static_cast<size_t>(-1);
  static constexpr size_t max_key_size = static_cast<size_t>(-1);
  static constexpr size_t max_string_size = static_cast<size_t>(-1);

  const std::string& duplicate() const { return duplicate_; }

  bool on_document_begin(json::error_code&) { return true; }
  bool on_document_end(json::error_code&) { return true; }
  bool on_object_begin(json::error_code&) {
    keys_.emplace_back();
    return true;
  }
  bool on_object_end(size_t, json::error_code&) {
    keys_.pop_back();
    return true;
  }
  bool on_array_begin(json::error_code&) { return true; }
  bool on_array_end(size_t, json::error_code&) { return true; }
  bool on_key_part(json::string_view part, size_t, json::error_code&) {
    key_.append(part);
    return true;
  }
  bool on_key(json::string_view part, size_t, json::error_code& ec) {
    key_.append(part);
    const bool inserted = keys_.back().insert(key_).second;
    if (!inserted) {
      duplicate_ = key_;
      ec = json::error::extra_data;  // stops the parser; the finder says why
    }
    key_.clear();
    return inserted;
  }
  bool on_string_part(json::string_view, size_t, json::error_code&) { return true; }
  bool on_string(json::string_view, size_t, json::error_code&) { return true; }
  bool on_number_part(json::string_view, json::error_code&) { return true; }
  bool on_int64(int64_t, json::string_view, json::error_code&) { return true; }
  bool on_uint64(uint64_t, json::string_view, json::error_code&) { return true; }
  bool on_double(double, json::string_view, json::error_code&) { return true; }
  bool on_bool(bool, json::error_code&) { return true; }
  bool on_null(json::error_code&) { return true; }
  bool on_comment_part(json::string_view, json::error_code&) { return true; }
  bool on_comment(json::string_view, json::error_code&) { return true; }

 private:
  std::vector<std::set<std::string>> keys_;
  std::string key_;
  std::string duplicate_;
};

json::parse_options options() {
  json::parse_options options;
  options.max_depth = kMaxJsonDepth;
  return options;
}

}  // namespace

Result<json::object> parse_json_body(std::string_view body) {
  json::stream_parser parser({}, options());
  json::error_code ec;
  const size_t n_read = parser.write_some(body.data(), body.size(), ec);
  if (!ec && !parser.done()) parser.finish(ec);
  if (ec) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("the request body is not valid JSON: {} at byte {} of {}", ec.message(), n_read,
                             body.size())};
  }
  if (body.find_first_not_of(" \t\r\n", n_read) != std::string_view::npos) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("the request body goes on after its JSON ends at byte {}", n_read)};
  }
  json::basic_parser<DuplicateKeyFinder> finder(options());
  finder.write_some(false, body.data(), body.size(), ec);
  if (!finder.handler().duplicate().empty()) {
    const std::string& key = finder.handler().duplicate();
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("the key '{}' is given twice in one object of the request body", key), key};
  }
  const json::value value = parser.release();
  if (!value.is_object()) return Error{ErrorCode::kInvalidArgument, "the request body must be a JSON object"};
  return value.get_object();
}

}  // namespace halod
