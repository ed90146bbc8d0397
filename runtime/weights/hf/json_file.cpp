#include "runtime/weights/hf/json_file.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <utility>

#include "runtime/weights/gguf_reader.h"
#include "runtime/weights/open_file.h"

namespace halod {
namespace {

namespace json = boost::json;

std::string describe(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return "null";
    case json::kind::bool_:
      return value.get_bool() ? "true" : "false";
    case json::kind::string:
      return fmt::format("'{}'", printable(value.get_string()));
    case json::kind::array:
      return fmt::format("an array of {}", value.get_array().size());
    case json::kind::object:
      return "an object";
    default:
      return json::serialize(value);
  }
}

/// Python writes Infinity, -Infinity and NaN, which JSON has no numbers for: null in their place. Returns
/// whether there were any.
bool replace_infinities(std::string& text) {
  constexpr std::string_view kNames[] = {"-Infinity", "Infinity", "NaN"};
  bool is_in_string = false, has_any = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (is_in_string && text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      is_in_string = !is_in_string;
    } else if (!is_in_string && (text[i] == '-' || text[i] == 'I' || text[i] == 'N')) {
      for (const std::string_view name : kNames) {
        if (std::string_view(text).substr(i, name.size()) != name) continue;
        text.replace(i, name.size(), "null");
        has_any = true;
        break;
      }
    }
  }
  return has_any;
}

std::shared_ptr<const json::value> parse_document(const std::string& text, json::error_code& ec) {
  // One block of memory that grows, instead of a piece for each of a vocabulary's 150 000 entries.
  return std::make_shared<const json::value>(
      json::parse(text, ec, json::make_shared_resource<json::monotonic_resource>()));
}

}  // namespace

JsonObject::JsonObject(std::string file_name, std::shared_ptr<const json::value> document)
    : file_name_(std::move(file_name)), document_(std::move(document)), fields_(&document_->get_object()) {}

std::string JsonObject::full_key(std::string_view key) const {
  if (key.empty() && !prefix_.empty()) return prefix_.substr(0, prefix_.size() - 1);
  return prefix_ + std::string(key);
}

const json::value* JsonObject::find(std::string_view key) const {
  const json::value* value = fields_->if_contains(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

std::optional<int64_t> JsonObject::integer(std::string_view key) const {
  const json::value* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_int64()) fail_type(key, *value, "an integer");
  return value->get_int64();
}

std::optional<double> JsonObject::real(std::string_view key) const {
  const json::value* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) fail_type(key, *value, "a number");
  return value->to_number<double>();
}

std::optional<bool> JsonObject::boolean(std::string_view key) const {
  const json::value* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_bool()) fail_type(key, *value, "true or false");
  return value->get_bool();
}

std::optional<std::string> JsonObject::string(std::string_view key) const {
  const json::value* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) fail_type(key, *value, "a string");
  return std::string(value->get_string());
}

std::optional<JsonObject> JsonObject::object(std::string_view key) const {
  const json::value* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_object()) fail_type(key, *value, "an object");
  JsonObject part = *this;
  part.prefix_ = full_key(key) + ".";
  part.fields_ = &value->get_object();
  return part;
}

JsonObject JsonObject::element(std::string_view key, const json::value& value) const {
  JsonObject part = *this;
  part.prefix_ = fmt::format("{}[{}].", full_key(key), &value - array(key).data());
  part.fields_ = &value.get_object();
  return part;
}

std::span<const json::value> JsonObject::array(std::string_view key) const {
  const json::value* value = find(key);
  if (value == nullptr) return {};
  if (!value->is_array()) fail_type(key, *value, "an array");
  return {value->get_array().data(), value->get_array().size()};
}

int64_t JsonObject::required_integer(std::string_view key) const {
  if (const auto value = integer(key)) return *value;
  fail_corrupt(key, "is missing");
}

std::string JsonObject::required_string(std::string_view key) const {
  if (auto value = string(key)) return *std::move(value);
  fail_corrupt(key, "is missing");
}

void JsonObject::fail(ErrorCode code, std::string_view key, std::string_view problem) const {
  const std::string full = printable(full_key(key));
  throw ErrorException({code, fmt::format("{}: '{}' {}", file_name_, full, problem), full});
}

void JsonObject::fail_type(std::string_view key, const json::value& found, std::string_view wanted) const {
  fail_corrupt(key, fmt::format("is {}, wanted {}", describe(found), wanted));
}

Result<std::string> read_text_file(const std::filesystem::path& path) {
  const auto file = OpenFile::open(path);
  if (!file) return file.error();
  const std::string& name = (*file)->name();
  if ((*file)->size() > kMaxJsonBytes) {
    return Error{ErrorCode::kCorruptFile,
                 fmt::format("{}: has {} bytes, allowed are {}", name, (*file)->size(), kMaxJsonBytes), name};
  }
  std::string text((*file)->size(), '\0');
  if (auto read = (*file)->read_exactly(0, std::as_writable_bytes(std::span(text))); !read)
    return read.error();
  return text;
}

Result<JsonObject> read_json_file(const std::filesystem::path& path) {
  auto text = read_text_file(path);
  if (!text) return text.error();
  const std::string name = path.filename().string();
  json::error_code ec;
  auto document = parse_document(*text, ec);
  if (ec && replace_infinities(*text)) document = parse_document(*text, ec);
  if (ec || !document->is_object()) {
    return Error{ErrorCode::kCorruptFile,
                 fmt::format("{}: is no JSON object: {}", name, ec ? ec.message() : describe(*document)),
                 name};
  }
  return JsonObject(name, document);
}

}  // namespace halod
