// The key/value part of a model, in GGUF's vocabulary.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/error.h"

namespace halod {

/// A metadata value. All integers are kept as int64_t (uint64_t only beyond its range), all floats as double,
/// so that readers do not care which width a converter chose.
using MetadataArray =
    std::variant<std::vector<int64_t>, std::vector<double>, std::vector<std::string>, std::vector<bool>>;
using MetadataValue = std::variant<bool, int64_t, uint64_t, double, std::string, MetadataArray>;

/// The key/value part of a model file. Getters name file, key, wanted and found type in their errors.
class Metadata {
 public:
  explicit Metadata(std::string file_name = {}) : file_name_(std::move(file_name)) {}
  /// REQUIRES: the key is new.
  void insert(std::string key, MetadataValue value);

  bool contains(std::string_view key) const { return find(key) != nullptr; }
  const MetadataValue* find(std::string_view key) const;
  const std::string& file_name() const { return file_name_; }
  const std::map<std::string, MetadataValue, std::less<>>& values() const { return values_; }

  /// What the file itself calls `key`, as messages show it: the key, unless whoever translated the file's own
  /// words said otherwise.
  const std::string& name_in_file(const std::string& key) const;
  void set_name_in_file(const std::string& key, std::string name) { names_in_file_[key] = std::move(name); }

  /// Required keys: kCorruptFile when absent, of another type, or out of the target's range.
  Result<int64_t> integer(std::string_view key) const;
  Result<double> real(std::string_view key) const;  ///< integers convert
  Result<std::string> string(std::string_view key) const;
  Result<bool> boolean(std::string_view key) const;
  /// Borrowed from this object.
  Result<std::span<const std::string>> strings(std::string_view key) const;
  Result<std::span<const int64_t>> integers(std::string_view key) const;
  Result<std::span<const double>> reals(std::string_view key) const;

  /// Optional keys: the fallback only when the key is absent; a wrong type is still an error.
  Result<int64_t> integer_or(std::string_view key, int64_t fallback) const;
  Result<double> real_or(std::string_view key, double fallback) const;
  Result<std::string> string_or(std::string_view key, std::string fallback) const;
  Result<bool> boolean_or(std::string_view key, bool fallback) const;

 private:
  std::string file_name_;
  std::map<std::string, MetadataValue, std::less<>> values_;
  std::map<std::string, std::string, std::less<>> names_in_file_;
};

}  // namespace halod
