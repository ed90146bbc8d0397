// The JSON files beside a model's weights, and their fields.
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"

namespace halod {

/// An object of a JSON document, which it keeps alive, and where it comes from for messages. Getters throw
/// ErrorException (kCorruptFile naming file and key); null counts as absent, as it does where these files
/// come from. Thread: const methods from any thread.
class JsonObject {
 public:
  /// REQUIRES: `document` is an object.
  JsonObject(std::string file_name, std::shared_ptr<const boost::json::value> document);

  const std::string& file_name() const { return file_name_; }
  const boost::json::object& fields() const { return *fields_; }
  /// The key as messages and Error::field show it: "rope_scaling.factor".
  /// Of "", the object's own.
  std::string full_key(std::string_view key) const;

  /// nullptr when absent or null.
  const boost::json::value* find(std::string_view key) const;
  bool contains(std::string_view key) const { return find(key) != nullptr; }

  std::optional<int64_t> integer(std::string_view key) const;
  std::optional<double> real(std::string_view key) const;  ///< integers convert
  std::optional<bool> boolean(std::string_view key) const;
  std::optional<std::string> string(std::string_view key) const;
  std::optional<JsonObject> object(std::string_view key) const;
  /// Borrowed from the document; empty when absent.
  std::span<const boost::json::value> array(std::string_view key) const;
  /// An element of array(key). REQUIRES: it is an object.
  JsonObject element(std::string_view key, const boost::json::value& value) const;
  /// kCorruptFile when absent.
  int64_t required_integer(std::string_view key) const;
  std::string required_string(std::string_view key) const;

  [[noreturn]] void fail(ErrorCode code, std::string_view key, std::string_view problem) const;
  [[noreturn]] void fail_corrupt(std::string_view key, std::string_view problem) const {
    fail(ErrorCode::kCorruptFile, key, problem);
  }
  [[noreturn]] void fail_unsupported(std::string_view key, std::string_view problem) const {
    fail(ErrorCode::kUnsupported, key, problem);
  }

 private:
  [[noreturn]] void fail_type(std::string_view key, const boost::json::value& found,
                              std::string_view wanted) const;

  std::string file_name_, prefix_;
  std::shared_ptr<const boost::json::value> document_;  // the whole file's
  const boost::json::object* fields_;                   // in it
};

/// No file of this kind is near this; it bounds what a hostile one can make us allocate.
inline constexpr uint64_t kMaxJsonBytes = uint64_t{64} << 20;

/// Reads a whole file. Errors: kNotFound, kIo, kCorruptFile when it is larger than kMaxJsonBytes.
Result<std::string> read_text_file(const std::filesystem::path& path);
/// Reads and parses one. Errors: as above; kCorruptFile when it is no JSON object.
Result<JsonObject> read_json_file(const std::filesystem::path& path);

}  // namespace halod
