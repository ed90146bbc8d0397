#include "runtime/weights/hf/safetensors_parser.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <boost/json/basic_parser_impl.hpp>
#include <cstring>
#include <limits>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "runtime/weights/gguf_reader.h"

namespace halod {
namespace {

static_assert(std::endian::native == std::endian::little);

// The format's own limit.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;
constexpr size_t kMaxShapeLength = 8;

struct Dtype {
  std::string_view name;
  int64_t bytes;
};
constexpr Dtype kDtypes[] = {{"BOOL", 1},    {"U8", 1},      {"I8", 1},  {"F8_E4M3", 1},
                             {"F8_E5M2", 1}, {"F8_E8M0", 1}, {"I16", 2}, {"U16", 2},
                             {"F16", 2},     {"BF16", 2},    {"I32", 4}, {"U32", 4},
                             {"F32", 4},     {"I64", 8},     {"U64", 8}, {"F64", 8}};

/// Receives the header's JSON as it is parsed:
///   {"__metadata__": {"key": "text", …}, "<name>": {"dtype": "F16", "shape": [2, 3], "data_offsets": [0,
///   12]}, …}
/// A parser that builds a document would keep one of two tensors of the same name and say nothing.
class HeaderHandler {
 public:
  static constexpr size_t max_object_size = std::numeric_limits<size_t>::max();
  static constexpr size_t max_array_size = std::numeric_limits<size_t>::max();
  static constexpr size_t max_key_size = 4096;
  static constexpr size_t max_string_size = std::numeric_limits<size_t>::max();
  using error_code = boost::json::error_code;

  std::vector<SafetensorsTensor> tensors;  ///< offset: as in the header, from the end of it
  std::optional<std::string> problem;      ///< what is wrong, where it is not the JSON
  std::string field = "header";            ///< the tensor at fault

  bool on_document_begin(error_code&) { return true; }
  bool on_document_end(error_code&) { return true; }

  bool on_object_begin(error_code& ec) {
    ++depth_;
    if (depth_ == 1 || (depth_ == 2 && !in_array_)) return true;
    return fail(ec, "holds an object where the format has none");
  }
  bool on_object_end(size_t, error_code& ec) {
    --depth_;
    if (depth_ == 1 && !in_metadata_) return finish_tensor(ec);
    if (depth_ == 1) in_metadata_ = false;
    return true;
  }
  bool on_array_begin(error_code& ec) {
    if (depth_ != 2 || in_metadata_ || in_array_ || (key_ != "shape" && key_ != "data_offsets"))
      return fail(ec, "holds an array where the format has none");
    in_array_ = true;
    numbers_.clear();
    return true;
  }
  bool on_array_end(size_t, error_code& ec) {
    in_array_ = false;
    auto& target = key_ == "shape" ? shape_ : offsets_;
    if (target) return fail(ec, fmt::format("has two '{}'", key_));
    target = std::move(numbers_);
    return true;
  }

  bool on_key_part(std::string_view part, size_t, error_code&) {
    text_ += part;
    return true;
  }
  bool on_key(std::string_view part, size_t, error_code& ec) {
    key_ = std::exchange(text_, {}) + std::string(part);
    if (depth_ != 1) return true;
    if (key_.empty()) {
      field = "header";
      return fail(ec, "has a tensor without a name");
    }
    field = printable(key_);
    in_metadata_ = key_ == "__metadata__";
    if (!names_.insert(key_).second) return fail(ec, "occurs twice");
    name_ = key_;
    dtype_.reset();
    shape_.reset();
    offsets_.reset();
    return true;
  }
  bool on_string_part(std::string_view part, size_t, error_code&) {
    if (!in_metadata_) text_ += part;
    return true;
  }
  bool on_string(std::string_view part, size_t, error_code& ec) {
    if (in_metadata_ && depth_ == 2) return true;
    const std::string text = std::exchange(text_, {}) + std::string(part);
    if (depth_ != 2 || in_array_ || key_ != "dtype")
      return fail(ec, "holds a string where the format has none");
    if (dtype_) return fail(ec, "has two 'dtype'");
    dtype_ = text;
    return true;
  }
  bool on_number_part(std::string_view, error_code&) { return true; }
  bool on_int64(int64_t number, std::string_view, error_code& ec) {
    if (!in_array_) return fail(ec, "holds a number where the format has none");
    if (number < 0) return fail(ec, fmt::format("holds {} in '{}'", number, key_));
    const size_t max = key_ == "shape" ? kMaxShapeLength : 2;
    if (numbers_.size() == max) return fail(ec, fmt::format("has more than {} numbers in '{}'", max, key_));
    numbers_.push_back(number);
    return true;
  }
  bool on_uint64(uint64_t number, std::string_view, error_code& ec) {
    return fail(ec, fmt::format("holds {} in '{}'", number, key_));
  }
  bool on_double(double number, std::string_view, error_code& ec) {
    return fail(ec, fmt::format("holds {} in '{}', wanted an integer", number, key_));
  }
  bool on_bool(bool, error_code& ec) { return fail(ec, "holds a boolean where the format has none"); }
  bool on_null(error_code& ec) { return fail(ec, "holds null where the format has none"); }
  bool on_comment_part(std::string_view, error_code&) { return true; }
  bool on_comment(std::string_view, error_code&) { return true; }

 private:
  bool fail(error_code& ec, std::string what) {
    problem = std::move(what);
    ec = boost::json::error::syntax;
    return false;
  }

  bool finish_tensor(error_code& ec) {
    if (!dtype_ || !shape_ || !offsets_)
      return fail(ec, fmt::format("has no '{}'", !dtype_ ? "dtype" : !shape_ ? "shape" : "data_offsets"));
    if (offsets_->size() != 2)
      return fail(ec, fmt::format("has {} data_offsets, wanted 2", offsets_->size()));
    const int64_t begin = (*offsets_)[0], end = (*offsets_)[1];
    if (end < begin) return fail(ec, fmt::format("has data_offsets from {} to {}", begin, end));
    tensors.push_back({.name = std::move(name_),
                       .dtype = printable(*dtype_),
                       .shape = std::move(*shape_),
                       .offset = static_cast<uint64_t>(begin),
                       .size_bytes = static_cast<uint64_t>(end - begin)});
    return true;
  }

  int depth_ = 0;
  bool in_metadata_ = false, in_array_ = false;
  std::string text_, key_, name_;
  std::set<std::string, std::less<>> names_;
  std::vector<int64_t> numbers_;
  std::optional<std::string> dtype_;
  std::optional<std::vector<int64_t>> shape_, offsets_;
};

class SafetensorsParser {
 public:
  SafetensorsParser(const OpenFile& file, uint32_t file_idx) : file_(file), file_idx_(file_idx) {}

  std::vector<SafetensorsTensor> parse() {
    const std::string header = read_header();
    boost::json::basic_parser<HeaderHandler> parser({});
    boost::json::error_code ec;
    const size_t n_parsed = parser.write_some(false, header.data(), header.size(), ec);
    HeaderHandler& handler = parser.handler();
    if (handler.problem) fail(handler.field, *handler.problem);
    if (ec) fail("header", fmt::format("is no JSON after {} bytes: {}", n_parsed, ec.message()));
    // What follows the object must be the spaces that align the data.
    if (header.find_first_not_of(" \n\t\r", n_parsed) != std::string::npos)
      fail("header", fmt::format("goes on after the JSON's end at byte {}", n_parsed));
    std::vector<SafetensorsTensor>& tensors = handler.tensors;
    const uint64_t data_begin = 8 + header.size();
    for (SafetensorsTensor& tensor : tensors) check(tensor, data_begin);
    check_overlaps(tensors);
    return std::move(tensors);
  }

 private:
  [[noreturn]] void fail(std::string_view field, std::string_view problem) const {
    throw ErrorException({ErrorCode::kCorruptFile,
                          field == "header" ? fmt::format("{}: the header {}", file_.name(), problem)
                                            : fmt::format("{}: tensor '{}' {}", file_.name(), field, problem),
                          std::string(field)});
  }

  std::string read_header() const {
    uint64_t n_bytes = 0;
    if (file_.size() < sizeof n_bytes)
      fail("header", fmt::format("is missing: the file has {} bytes; fetch it again", file_.size()));
    file_.read_exactly(0, std::as_writable_bytes(std::span(&n_bytes, 1))).value();
    const uint64_t n_left = file_.size() - sizeof n_bytes;
    if (n_bytes < 2 || n_bytes > std::min(n_left, kMaxHeaderBytes)) {
      fail("header",
           fmt::format("says that it has {} bytes; allowed are 2 to {}, the file has {} more; it is "
                       "no safetensors file, or was not fetched to its end",
                       n_bytes, kMaxHeaderBytes, n_left));
    }
    std::string header(n_bytes, '\0');
    file_.read_exactly(sizeof n_bytes, std::as_writable_bytes(std::span(header))).value();
    if (header.front() != '{') fail("header", "does not begin with '{'; this is no safetensors file");
    return header;
  }

  void check(SafetensorsTensor& tensor, uint64_t data_begin) const {
    const std::string name = printable(tensor.name);
    uint64_t n_elements = 1;
    for (const int64_t extent : tensor.shape) {
      if (__builtin_mul_overflow(n_elements, static_cast<uint64_t>(extent), &n_elements))
        fail(name, fmt::format("has shape [{}], which overflows", fmt::join(tensor.shape, ", ")));
    }
    const auto element_bytes = static_cast<uint64_t>(dtype_bytes(tensor.dtype));
    uint64_t n_bytes = 0;
    if (__builtin_mul_overflow(n_elements, element_bytes, &n_bytes) ||
        (element_bytes > 0 && n_bytes != tensor.size_bytes)) {
      fail(name, fmt::format("has {} bytes of data where {} values of shape [{}] take {} each",
                             tensor.size_bytes, tensor.dtype, fmt::join(tensor.shape, ", "), element_bytes));
    }
    const uint64_t n_data_bytes = file_.size() - data_begin;
    if (tensor.offset > n_data_bytes || tensor.size_bytes > n_data_bytes - tensor.offset) {
      fail(name,
           fmt::format("ends {} bytes after the header, but the file has only {}; it was not fetched to "
                       "its end",
                       tensor.offset + tensor.size_bytes, n_data_bytes));
    }
    tensor.offset += data_begin;
    tensor.file_idx = file_idx_;
  }

  void check_overlaps(std::vector<SafetensorsTensor>& tensors) const {
    std::ranges::sort(tensors, {},
                      [](const SafetensorsTensor& t) { return std::pair(t.offset, t.size_bytes); });
    for (size_t i = 1; i < tensors.size(); ++i) {
      const SafetensorsTensor& before = tensors[i - 1];
      if (before.offset + before.size_bytes > tensors[i].offset) {
        fail(printable(tensors[i].name),
             fmt::format("begins at byte {} of the file, inside tensor '{}', which ends at {}",
                         tensors[i].offset, printable(before.name), before.offset + before.size_bytes));
      }
    }
  }

  const OpenFile& file_;
  uint32_t file_idx_;
};

}  // namespace

int64_t dtype_bytes(std::string_view dtype) {
  const auto row = std::ranges::find(kDtypes, dtype, &Dtype::name);
  return row == std::end(kDtypes) ? 0 : row->bytes;
}

Result<std::vector<SafetensorsTensor>> parse_safetensors(const OpenFile& file, uint32_t file_idx) {
  try {
    return SafetensorsParser(file, file_idx).parse();
  } catch (const ErrorException& exception) {
    return exception.error();
  }
}

}  // namespace halod
