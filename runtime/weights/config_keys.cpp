#include "runtime/weights/config_keys.h"

#include <fmt/format.h>

#include <span>
#include <utility>
#include <variant>

namespace halod {

std::string ConfigKeys::key(std::string_view suffix) const {
  return fmt::format("{}.{}", architecture_, suffix);
}

int64_t ConfigKeys::count(std::string_view suffix, int64_t max) const {
  const int64_t value = metadata_.integer(key(suffix)).value();
  if (value < 1 || value > max)
    fail_corrupt(key(suffix), fmt::format("is {}, allowed are 1 to {}", value, max));
  return value;
}

int64_t ConfigKeys::count_or(std::string_view suffix, int64_t otherwise, int64_t max) const {
  const int64_t value = metadata_.integer_or(key(suffix), otherwise).value();
  if (value < 0 || value > max)
    fail_corrupt(key(suffix), fmt::format("is {}, allowed are 0 to {}", value, max));
  return value;
}

std::vector<int64_t> ConfigKeys::by_layer(std::string_view suffix, int64_t n_layers, int64_t max) const {
  const std::string name = key(suffix);
  const MetadataValue* value = metadata_.find(name);
  if (value == nullptr || !std::holds_alternative<MetadataArray>(*value)) {
    metadata_.integer(name).value();  // with its own words where it is missing or of another kind
    return std::vector<int64_t>(static_cast<size_t>(n_layers), count_or(suffix, 0, max));
  }
  const std::span<const int64_t> values = metadata_.integers(name).value();
  if (static_cast<int64_t>(values.size()) != n_layers)
    fail_corrupt(name, fmt::format("has {} values for {} layers", values.size(), n_layers));
  for (const int64_t each : values) {
    if (each < 0 || each > max) fail_corrupt(name, fmt::format("holds {}, allowed are 0 to {}", each, max));
  }
  return {values.begin(), values.end()};
}

float ConfigKeys::positive_number(std::string_view suffix, double max) const {
  const double value = metadata_.real(key(suffix)).value();
  if (!(value > 0 && value <= max)) {
    fail_corrupt(key(suffix), fmt::format("is {}, allowed are numbers above 0 up to {}", value, max));
  }
  return static_cast<float>(value);
}

float ConfigKeys::positive_number_or(std::string_view suffix, float otherwise, double max) const {
  return has(suffix) ? positive_number(suffix, max) : otherwise;
}

double ConfigKeys::number_or(std::string_view suffix, double otherwise) const {
  return metadata_.real_or(key(suffix), otherwise).value();
}

std::string ConfigKeys::string_or(std::string_view suffix, std::string otherwise) const {
  return metadata_.string_or(key(suffix), std::move(otherwise)).value();
}

bool ConfigKeys::boolean_or(std::string_view suffix, bool otherwise) const {
  return metadata_.boolean_or(key(suffix), otherwise).value();
}

void ConfigKeys::only(std::string_view suffix, int64_t expected, std::string_view reason) const {
  const int64_t value = metadata_.integer_or(key(suffix), expected).value();
  if (value != expected)
    fail_unsupported(key(suffix), fmt::format("is {}, wanted {}: {}", value, expected, reason));
}

void ConfigKeys::at_most(std::string_view suffix, int64_t most, std::string_view reason) const {
  const int64_t value = metadata_.integer_or(key(suffix), 0).value();
  if (value > most)
    fail_unsupported(key(suffix), fmt::format("is {}, at most {} is supported: {}", value, most, reason));
}

void ConfigKeys::only_number(std::string_view suffix, double expected, std::string_view reason) const {
  const double value = metadata_.real_or(key(suffix), expected).value();
  if (value != expected)
    fail_unsupported(key(suffix), fmt::format("is {}, wanted {}: {}", value, expected, reason));
}

void ConfigKeys::fail(ErrorCode code, const std::string& field, std::string_view problem) const {
  const std::string& name = metadata_.name_in_file(field);
  throw ErrorException(Error{code, fmt::format("{}: {} {}", metadata_.file_name(), name, problem), name});
}

void ConfigKeys::fail_corrupt(const std::string& field, std::string_view problem) const {
  fail(ErrorCode::kCorruptFile, field, problem);
}

void ConfigKeys::fail_unsupported(const std::string& field, std::string_view problem) const {
  fail(ErrorCode::kUnsupported, field, problem);
}

}  // namespace halod
