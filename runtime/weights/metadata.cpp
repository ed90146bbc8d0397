#include "runtime/weights/metadata.h"

#include <fmt/format.h>

#include <limits>

namespace halod {
namespace {

std::string describe(const MetadataValue& value) {
  struct Description {
    std::string operator()(bool flag) const { return fmt::format("the boolean {}", flag); }
    std::string operator()(int64_t number) const { return fmt::format("the integer {}", number); }
    std::string operator()(uint64_t number) const { return fmt::format("the integer {}", number); }
    std::string operator()(double number) const { return fmt::format("the number {}", number); }
    std::string operator()(const std::string&) const { return "a string"; }
    std::string operator()(const MetadataArray& array) const {
      static constexpr const char* kElementNames[] = {"integers", "numbers", "strings", "booleans"};
      const size_t n = std::visit([](const auto& elements) { return elements.size(); }, array);
      return fmt::format("an array of {} {}", n, kElementNames[array.index()]);
    }
  };
  return std::visit(Description{}, value);
}

Error missing(const Metadata& metadata, std::string_view gguf_key) {
  const std::string key = metadata.name_in_file(std::string(gguf_key));
  return {ErrorCode::kCorruptFile,
          fmt::format(
              "{}: metadata key '{}' is missing; the file was not made for this architecture or is damaged",
              metadata.file_name(), key),
          key};
}

Error wrong_type(const Metadata& metadata, std::string_view gguf_key, const MetadataValue& found,
                 const char* wanted) {
  const std::string key = metadata.name_in_file(std::string(gguf_key));
  return {ErrorCode::kCorruptFile,
          fmt::format("{}: metadata key '{}' holds {}, wanted {}", metadata.file_name(), key, describe(found),
                      wanted),
          key};
}

template <class Element>
Result<std::span<const Element>> array_of(const Metadata& metadata, std::string_view key,
                                          const char* wanted) {
  const MetadataValue* value = metadata.find(key);
  if (value == nullptr) return missing(metadata, key);
  if (const auto* array = std::get_if<MetadataArray>(value)) {
    if (const auto* elements = std::get_if<std::vector<Element>>(array))
      return std::span<const Element>(*elements);
  }
  return wrong_type(metadata, key, *value, wanted);
}

}  // namespace

void Metadata::insert(std::string key, MetadataValue value) {
  const bool is_new = values_.emplace(std::move(key), std::move(value)).second;
  HALOD_ASSERT(is_new);
}

const MetadataValue* Metadata::find(std::string_view key) const {
  const auto entry = values_.find(key);
  return entry == values_.end() ? nullptr : &entry->second;
}

const std::string& Metadata::name_in_file(const std::string& key) const {
  const auto entry = names_in_file_.find(key);
  return entry == names_in_file_.end() ? key : entry->second;
}

Result<int64_t> Metadata::integer(std::string_view key) const {
  const MetadataValue* value = find(key);
  if (value == nullptr) return missing(*this, key);
  if (const auto* number = std::get_if<int64_t>(value)) return *number;
  if (std::holds_alternative<uint64_t>(*value)) {
    return Error{ErrorCode::kCorruptFile,
                 fmt::format("{}: metadata key '{}' holds {}, which is more than {}", file_name_, key,
                             describe(*value), std::numeric_limits<int64_t>::max()),
                 std::string(key)};
  }
  return wrong_type(*this, key, *value, "an integer");
}

Result<double> Metadata::real(std::string_view key) const {
  const MetadataValue* value = find(key);
  if (value == nullptr) return missing(*this, key);
  if (const auto* number = std::get_if<double>(value)) return *number;
  if (const auto* number = std::get_if<int64_t>(value)) return static_cast<double>(*number);
  if (const auto* number = std::get_if<uint64_t>(value)) return static_cast<double>(*number);
  return wrong_type(*this, key, *value, "a number");
}

Result<std::string> Metadata::string(std::string_view key) const {
  const MetadataValue* value = find(key);
  if (value == nullptr) return missing(*this, key);
  if (const auto* text = std::get_if<std::string>(value)) return *text;
  return wrong_type(*this, key, *value, "a string");
}

Result<bool> Metadata::boolean(std::string_view key) const {
  const MetadataValue* value = find(key);
  if (value == nullptr) return missing(*this, key);
  if (const auto* flag = std::get_if<bool>(value)) return *flag;
  return wrong_type(*this, key, *value, "a boolean");
}

Result<std::span<const std::string>> Metadata::strings(std::string_view key) const {
  return array_of<std::string>(*this, key, "an array of strings");
}

Result<std::span<const int64_t>> Metadata::integers(std::string_view key) const {
  return array_of<int64_t>(*this, key, "an array of integers");
}

Result<std::span<const double>> Metadata::reals(std::string_view key) const {
  return array_of<double>(*this, key, "an array of numbers");
}

Result<int64_t> Metadata::integer_or(std::string_view key, int64_t fallback) const {
  return contains(key) ? integer(key) : fallback;
}

Result<double> Metadata::real_or(std::string_view key, double fallback) const {
  return contains(key) ? real(key) : fallback;
}

Result<std::string> Metadata::string_or(std::string_view key, std::string fallback) const {
  return contains(key) ? string(key) : Result<std::string>(std::move(fallback));
}

Result<bool> Metadata::boolean_or(std::string_view key, bool fallback) const {
  return contains(key) ? boolean(key) : fallback;
}

}  // namespace halod
