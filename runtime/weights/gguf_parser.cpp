#include "runtime/weights/gguf_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <limits>

#include "runtime/weights/ggml_types.h"
#include "runtime/weights/gguf_reader.h"
#include "runtime/weights/gguf_value_type.h"

namespace halod {
namespace {

constexpr uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr uint64_t kDefaultAlignment = 32;
constexpr uint32_t kMaxDimensions = 4;
constexpr uint64_t kMinKeyValueBytes = 8 + 1 + 4 + 1;  // key length, key, type, value
constexpr uint64_t kMinTensorBytes =
    8 + 1 + 4 + 8 + 4 + 8;  // name length, name, n_dims, one extent, type, offset

class Parser {
 public:
  Parser(const OpenFile& file, uint32_t file_idx) : file_(file), file_idx_(file_idx), reader_(file) {}

  GgufPart parse() {
    read_magic_and_version();
    // Each record is checked again as it is read; here only what the counts alone give away.
    const uint64_t n_tensors = reader_.count(kMinTensorBytes, {"header field", "tensor_count"});
    const uint64_t n_key_values = reader_.count(kMinKeyValueBytes, {"header field", "metadata_kv_count"});
    GgufPart part{.metadata = Metadata(file_.name()), .tensors = {}, .unsupported = {}};
    for (uint64_t i = 0; i < n_key_values; ++i) read_key_value(part.metadata, i, n_key_values);
    const uint64_t alignment = read_alignment(part.metadata);
    for (uint64_t i = 0; i < n_tensors; ++i) read_tensor(part, {i, n_tensors, alignment});
    place(part, alignment);
    return part;
  }

 private:
  [[noreturn]] void fail_unsupported(const HeaderField& what, std::string_view problem) const {
    throw ErrorException(Error{ErrorCode::kUnsupported,
                               fmt::format("{}: {} '{}': {}", file_.name(), what.kind, what.name, problem),
                               what.name});
  }

  void read_magic_and_version() {
    const HeaderField magic_field{"header field", "magic"};
    const HeaderField version_field{"header field", "version"};
    const auto magic = reader_.number<uint32_t>(magic_field);
    if (magic != kMagic) {
      reader_.fail(magic_field,
                   fmt::format("is 0x{:08x} where a GGUF file has 0x{:08x} (\"GGUF\"); this is no GGUF file",
                               magic, kMagic));
    }
    const auto version = reader_.number<uint32_t>(version_field);
    if (version != 0 && (version & 0xffff) == 0) {
      fail_unsupported(version_field, "the file is big-endian; convert it for little-endian machines");
    }
    if (version != 2 && version != 3) {
      fail_unsupported(version_field,
                       fmt::format("is {}; versions 2 and 3 can be read, convert the file again", version));
    }
  }

  std::string read_name(const HeaderField& what) {
    std::string name = reader_.string(what);
    constexpr size_t kMaxNameBytes = 65535;  // the specification's limit for keys
    if (name.empty() || name.size() > kMaxNameBytes) {
      reader_.fail(what,
                   fmt::format("its name has {} bytes, allowed are 1 to {}", name.size(), kMaxNameBytes));
    }
    return name;
  }

  void read_key_value(Metadata& metadata, uint64_t idx, uint64_t n) {
    std::string key = read_name({"metadata entry", fmt::format("{} of {}", idx + 1, n)});
    const HeaderField what{"metadata key", printable(key)};
    if (metadata.contains(key)) reader_.fail(what, "occurs twice");
    const auto type = GgufValueType{reader_.number<uint32_t>(what)};
    MetadataValue value =
        type == GgufValueType::kArray ? MetadataValue(read_array(what)) : read_scalar(type, what);
    metadata.insert(std::move(key), std::move(value));
  }

  bool read_bool(const HeaderField& what) {
    const auto byte = reader_.number<uint8_t>(what);
    if (byte > 1) reader_.fail(what, fmt::format("a boolean is {}, allowed are 0 and 1", byte));
    return byte == 1;
  }

  MetadataValue read_scalar(GgufValueType type, const HeaderField& what) {
    switch (type) {
      case GgufValueType::kUint8:
        return int64_t{reader_.number<uint8_t>(what)};
      case GgufValueType::kInt8:
        return int64_t{reader_.number<int8_t>(what)};
      case GgufValueType::kUint16:
        return int64_t{reader_.number<uint16_t>(what)};
      case GgufValueType::kInt16:
        return int64_t{reader_.number<int16_t>(what)};
      case GgufValueType::kUint32:
        return int64_t{reader_.number<uint32_t>(what)};
      case GgufValueType::kInt32:
        return int64_t{reader_.number<int32_t>(what)};
      case GgufValueType::kInt64:
        return reader_.number<int64_t>(what);
      case GgufValueType::kUint64: {
        const auto value = reader_.number<uint64_t>(what);
        if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return value;
        return static_cast<int64_t>(value);
      }
      case GgufValueType::kFloat32:
        return double{reader_.number<float>(what)};
      case GgufValueType::kFloat64:
        return reader_.number<double>(what);
      case GgufValueType::kBool:
        return read_bool(what);
      case GgufValueType::kString:
        return reader_.string(what);
      case GgufValueType::kArray:
        break;
    }
    reader_.fail(
        what, fmt::format("its value type is {}, which no version of GGUF has", static_cast<uint32_t>(type)));
  }

  template <class Stored, class Element>
  MetadataArray read_numbers(const HeaderField& what) {
    const uint64_t n = reader_.count(sizeof(Stored), what);
    std::vector<Element> elements;
    elements.reserve(static_cast<size_t>(n));
    for (uint64_t i = 0; i < n; ++i) elements.push_back(static_cast<Element>(reader_.number<Stored>(what)));
    return elements;
  }

  MetadataArray read_uint64s(const HeaderField& what) {
    const uint64_t n = reader_.count(sizeof(uint64_t), what);
    std::vector<int64_t> elements;
    elements.reserve(static_cast<size_t>(n));
    for (uint64_t i = 0; i < n; ++i) {
      const auto value = reader_.number<uint64_t>(what);
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        reader_.fail(what,
                     fmt::format("element {} is {}, more than a signed 64-bit integer holds", i, value));
      }
      elements.push_back(static_cast<int64_t>(value));
    }
    return elements;
  }

  MetadataArray read_bools(const HeaderField& what) {
    const uint64_t n = reader_.count(1, what);
    std::vector<bool> elements;
    elements.reserve(static_cast<size_t>(n));
    for (uint64_t i = 0; i < n; ++i) elements.push_back(read_bool(what));
    return elements;
  }

  MetadataArray read_strings(const HeaderField& what) {
    const uint64_t n = reader_.count(sizeof(uint64_t), what);
    std::vector<std::string> elements;
    elements.reserve(static_cast<size_t>(n));
    for (uint64_t i = 0; i < n; ++i) elements.push_back(reader_.string(what));
    return elements;
  }

  MetadataArray read_array(const HeaderField& what) {
    const auto type = GgufValueType{reader_.number<uint32_t>(what)};
    switch (type) {
      case GgufValueType::kUint8:
        return read_numbers<uint8_t, int64_t>(what);
      case GgufValueType::kInt8:
        return read_numbers<int8_t, int64_t>(what);
      case GgufValueType::kUint16:
        return read_numbers<uint16_t, int64_t>(what);
      case GgufValueType::kInt16:
        return read_numbers<int16_t, int64_t>(what);
      case GgufValueType::kUint32:
        return read_numbers<uint32_t, int64_t>(what);
      case GgufValueType::kInt32:
        return read_numbers<int32_t, int64_t>(what);
      case GgufValueType::kInt64:
        return read_numbers<int64_t, int64_t>(what);
      case GgufValueType::kUint64:
        return read_uint64s(what);
      case GgufValueType::kFloat32:
        return read_numbers<float, double>(what);
      case GgufValueType::kFloat64:
        return read_numbers<double, double>(what);
      case GgufValueType::kBool:
        return read_bools(what);
      case GgufValueType::kString:
        return read_strings(what);
      case GgufValueType::kArray:
        fail_unsupported(what, "an array of arrays; no architecture that halod knows has one");
    }
    reader_.fail(what, fmt::format("its element type is {}, which no version of GGUF has",
                                   static_cast<uint32_t>(type)));
  }

  uint64_t read_alignment(const Metadata& metadata) {
    const int64_t alignment = metadata.integer_or("general.alignment", int64_t{kDefaultAlignment}).value();
    if (alignment <= 0 || alignment > std::numeric_limits<uint32_t>::max() ||
        !std::has_single_bit(static_cast<uint64_t>(alignment))) {
      reader_.fail({"metadata key", "general.alignment"},
                   fmt::format("is {}, but must be a power of two below 2^32", alignment));
    }
    return static_cast<uint64_t>(alignment);
  }

  struct TableRow {
    uint64_t idx, n, alignment;
  };

  // Leaves the offset relative to the data section, which starts only after the whole table.
  void read_tensor(GgufPart& part, const TableRow& row) {
    TensorInfo tensor;
    tensor.file_idx = file_idx_;
    tensor.name = read_name({"tensor", fmt::format("{} of {}", row.idx + 1, row.n)});
    const HeaderField what = field_of(tensor);
    const auto n_dims = reader_.number<uint32_t>(what);
    if (n_dims == 0 || n_dims > kMaxDimensions) {
      reader_.fail(what, fmt::format("has {} dimensions, allowed are 1 to {}", n_dims, kMaxDimensions));
    }
    for (uint32_t dim = 0; dim < n_dims; ++dim) {
      const auto extent = reader_.number<uint64_t>(what);
      if (extent == 0 || extent > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
        reader_.fail(what, fmt::format("extent {} of its shape is {}", dim, extent));
      }
      tensor.shape.insert(tensor.shape.begin(), static_cast<int64_t>(extent));
    }
    const auto ggml_type = reader_.number<uint32_t>(what);
    const FormatTraits* format = find_format_by_ggml_type(ggml_type);
    if (format != nullptr) {
      tensor.format = format->format;
      tensor.size_bytes = size_of(tensor, *format, what);
    } else {
      check_n_weights(tensor, what);
    }
    tensor.offset = reader_.number<uint64_t>(what);
    if (tensor.offset % row.alignment != 0) {
      reader_.fail(
          what, fmt::format("offset {} is not a multiple of the alignment {}", tensor.offset, row.alignment));
    }
    if (format != nullptr) {
      part.tensors.push_back(std::move(tensor));
    } else {
      part.unsupported.push_back({.name = std::move(tensor.name),
                                  .format = ggml_type_name(ggml_type),
                                  .format_in_file = describe_ggml_type(ggml_type),
                                  .shape = std::move(tensor.shape),
                                  .file_idx = file_idx_,
                                  .offset = tensor.offset});
    }
  }

  // Of a tensor whose bytes cannot be computed.
  void check_n_weights(const TensorInfo& tensor, const HeaderField& what) const {
    int64_t n_elements = 1;
    for (const int64_t extent : tensor.shape) {
      if (__builtin_mul_overflow(n_elements, extent, &n_elements))
        reader_.fail(what, fmt::format("its shape {} overflows 64 bits", fmt::join(tensor.shape, " x ")));
    }
    // The smallest format that there is, IQ1_S, has five in a byte.
    constexpr uint64_t kMaxWeightsPerByte = 8;
    if (static_cast<uint64_t>(n_elements) / kMaxWeightsPerByte > file_.size()) {
      reader_.fail(what, fmt::format("its shape has {} weights, which a file of {} bytes cannot hold",
                                     n_elements, file_.size()));
    }
  }

  uint64_t size_of(const TensorInfo& tensor, const FormatTraits& format, const HeaderField& what) const {
    if (tensor.cols() % format.block_elements != 0) {
      reader_.fail(what,
                   fmt::format("a row of {} weights is not a whole number of {} blocks ({} weights each)",
                               tensor.cols(), format.name, format.block_elements));
    }
    int64_t n_elements = tensor.cols();
    int64_t n_bytes = 0;
    bool overflows =
        __builtin_mul_overflow(tensor.cols() / format.block_elements, format.block_bytes, &n_bytes);
    for (size_t dim = 0; dim + 1 < tensor.shape.size(); ++dim) {
      overflows |= __builtin_mul_overflow(n_elements, tensor.shape[dim], &n_elements);
      overflows |= __builtin_mul_overflow(n_bytes, tensor.shape[dim], &n_bytes);
    }
    if (overflows) {
      reader_.fail(what, fmt::format("its shape {} overflows 64 bits", fmt::join(tensor.shape, " x ")));
    }
    return static_cast<uint64_t>(n_bytes);
  }

  // Turns offsets into file offsets and checks that the tensors lie in the file, apart from each other.
  void place(GgufPart& part, uint64_t alignment) const {
    std::vector<TensorInfo>& tensors = part.tensors;
    const uint64_t data_offset = (reader_.offset() + alignment - 1) / alignment * alignment;
    uint64_t data_end = 0;
    for (TensorInfo& tensor : tensors) {
      uint64_t end = 0;
      if (__builtin_add_overflow(tensor.offset, data_offset, &tensor.offset) ||
          __builtin_add_overflow(tensor.offset, tensor.size_bytes, &end)) {
        reader_.fail(field_of(tensor),
                     fmt::format("offset {} + {} bytes overflows 64 bits", tensor.offset, tensor.size_bytes));
      }
      data_end = std::max(data_end, end);
    }
    for (const TensorInfo& tensor : tensors) {
      if (tensor.offset + tensor.size_bytes <= file_.size()) continue;
      reader_.fail(
          field_of(tensor),
          fmt::format(
              "offset {} + {} bytes lies outside the file ({} bytes): {} bytes are missing; the download "
              "is probably incomplete, fetch it again",
              tensor.offset, tensor.size_bytes, file_.size(), data_end - file_.size()));
    }
    check_no_overlap(tensors);
    place_unsupported(part, data_offset);
  }

  // Without their formats their ends are not known, but where the next tensor begins is.
  void place_unsupported(GgufPart& part, uint64_t data_offset) const {
    for (UnsupportedTensor& tensor : part.unsupported) {
      if (__builtin_add_overflow(tensor.offset, data_offset, &tensor.offset) ||
          tensor.offset >= file_.size()) {
        reader_.fail({"tensor", printable(tensor.name)},
                     fmt::format("offset {} lies outside the file ({} bytes); the download is probably "
                                 "incomplete, fetch it again",
                                 tensor.offset, file_.size()));
      }
    }
    std::vector<uint64_t> ends = {file_.size()};
    for (const TensorInfo& tensor : part.tensors) ends.push_back(tensor.offset);
    for (const UnsupportedTensor& tensor : part.unsupported) ends.push_back(tensor.offset);
    std::ranges::sort(ends);
    for (UnsupportedTensor& tensor : part.unsupported)
      tensor.size_bytes = *std::ranges::upper_bound(ends, tensor.offset) - tensor.offset;
  }

  void check_no_overlap(const std::vector<TensorInfo>& tensors) const {
    std::vector<const TensorInfo*> by_offset;
    by_offset.reserve(tensors.size());
    for (const TensorInfo& tensor : tensors) by_offset.push_back(&tensor);
    std::ranges::sort(by_offset, {}, &TensorInfo::offset);
    for (size_t i = 1; i < by_offset.size(); ++i) {
      const TensorInfo& before = *by_offset[i - 1];
      const TensorInfo& after = *by_offset[i];
      if (before.offset + before.size_bytes <= after.offset) continue;
      reader_.fail(field_of(after),
                   fmt::format("starts at offset {}, inside tensor '{}' (offset {}, {} bytes)", after.offset,
                               printable(before.name), before.offset, before.size_bytes));
    }
  }

  static HeaderField field_of(const TensorInfo& tensor) { return {"tensor", printable(tensor.name)}; }

  const OpenFile& file_;
  const uint32_t file_idx_;
  GgufReader reader_;
};

}  // namespace

Result<GgufPart> parse_gguf(const OpenFile& file, uint32_t file_idx) {
  try {
    return Parser(file, file_idx).parse();
  } catch (const ErrorException& exception) {
    return exception.error();
  }
}

}  // namespace halod
