// Reading "<architecture>.<suffix>" keys: their ranges, and errors that name file, key and value.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "runtime/weights/metadata.h"

namespace halod {

/// Every failure is an ErrorException. Refers to the metadata. Thread: as the metadata.
class ConfigKeys {
 public:
  // Far beyond any real model, and small enough for products of two of them to fit into 64 bits.
  static constexpr int64_t kMaxExtent = int64_t{1} << 24;

  ConfigKeys(const Metadata& metadata, std::string architecture)
      : metadata_(metadata), architecture_(std::move(architecture)) {}

  std::string key(std::string_view suffix) const;
  bool has(std::string_view suffix) const { return metadata_.contains(key(suffix)); }

  /// 1 to max; must be there.
  int64_t count(std::string_view suffix, int64_t max = kMaxExtent) const;
  /// 0 to max; `otherwise` where it is missing.
  int64_t count_or(std::string_view suffix, int64_t otherwise, int64_t max = kMaxExtent) const;
  /// One value for every layer, 0 to max; must be there: an array of so many, or a number that holds for all.
  std::vector<int64_t> by_layer(std::string_view suffix, int64_t n_layers, int64_t max = kMaxExtent) const;
  /// Above 0 up to max; must be there.
  float positive_number(std::string_view suffix, double max) const;
  float positive_number_or(std::string_view suffix, float otherwise, double max) const;
  double number_or(std::string_view suffix, double otherwise) const;
  std::string string_or(std::string_view suffix, std::string otherwise) const;
  bool boolean_or(std::string_view suffix, bool otherwise) const;

  /// What would be computed wrongly: refuses any value but the expected one. A missing key is that.
  void only(std::string_view suffix, int64_t expected, std::string_view reason) const;
  /// Refuses all above `most`. A missing key is fine.
  void at_most(std::string_view suffix, int64_t most, std::string_view reason) const;
  void only_number(std::string_view suffix, double expected, std::string_view reason) const;

  /// `field` is a whole key.
  [[noreturn]] void fail_corrupt(const std::string& field, std::string_view problem) const;
  [[noreturn]] void fail_unsupported(const std::string& field, std::string_view problem) const;

 private:
  [[noreturn]] void fail(ErrorCode code, const std::string& field, std::string_view problem) const;

  const Metadata& metadata_;
  std::string architecture_;
};

}  // namespace halod
