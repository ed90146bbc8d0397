// Files that somebody broke, by accident or on purpose: never a crash, always an error that names the file
// and the field.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <sstream>

#include "runtime/weights/gguf_file.h"
#include "runtime/weights/gguf_value_type.h"
#include "runtime/weights/model_config.h"
#include "runtime/weights/model_summary.h"
#include "runtime/weights/tokenizer_data.h"
#include "tests/support/memory_file.h"
#include "tests/support/small_gguf.h"
#include "tests/support/temporary_folder.h"

namespace halod {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// A header written by hand, so that it can lie.
class RawGguf {
 public:
  RawGguf(uint64_t n_tensors, uint64_t n_key_values) { text("GGUF").u32(3).u64(n_tensors).u64(n_key_values); }
  RawGguf& u8(uint8_t value) { return raw(value); }
  RawGguf& u32(uint32_t value) { return raw(value); }
  RawGguf& u64(uint64_t value) { return raw(value); }
  RawGguf& type(GgufValueType value) { return u32(static_cast<uint32_t>(value)); }
  RawGguf& text(std::string_view value) {
    bytes_ += value;
    return *this;
  }
  RawGguf& string(std::string_view value) { return u64(value.size()).text(value); }
  /// F32 unless told.
  RawGguf& tensor(std::string_view name, std::vector<uint64_t> extents, uint64_t offset,
                  uint32_t ggml_type = 0) {
    string(name).u32(static_cast<uint32_t>(extents.size()));
    for (const uint64_t extent : extents) u64(extent);
    return u32(ggml_type).u64(offset);
  }
  RawGguf& data(size_t n_bytes) {
    bytes_.resize((bytes_.size() + 31) / 32 * 32 + n_bytes);
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  template <class Number>
  RawGguf& raw(Number value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  std::string bytes_;
};

class AHostileGguf : public ::testing::Test {
 protected:
  // Under the name that messages must show.
  AHostileGguf() { std::filesystem::create_symlink(content_.path(), folder_.path() / "model.gguf"); }

  Result<GgufFile> open(std::string_view bytes) {
    content_.set_content(bytes);
    return GgufFile::open(folder_.path() / "model.gguf");
  }

  // For looking only.
  Result<GgufFile> open_to_inspect(std::string_view bytes) {
    content_.set_content(bytes);
    return GgufFile::open_to_inspect(folder_.path() / "model.gguf");
  }

  // Opens it and, if that works, reads everything that a model load reads first. `Error{}` when all works.
  Error use(std::string_view bytes) {
    const auto file = open(bytes);
    if (const auto looked_at = open_to_inspect(bytes)) {
      const auto summary = summarise_model(*looked_at);
      EXPECT_TRUE(summary || summary.error().code == ErrorCode::kCorruptFile) << summary.error().message;
    }
    if (!file) return file.error();
    std::vector<std::byte> data;
    for (const TensorInfo& tensor : file->tensors()) {
      data.resize(static_cast<size_t>(tensor.size_bytes));
      if (const auto read = file->read(tensor, 0, data); !read) return read.error();
      std::vector<float> weights(static_cast<size_t>(tensor.cols()));
      traits(tensor.format).dequantize(data.data(), tensor.cols(), weights.data());
    }
    if (const auto config = read_model_config(*file); !config) return config.error();
    if (const auto tokenizer = read_tokenizer_data(file->metadata()); !tokenizer) return tokenizer.error();
    return {};
  }
  Error use(const RawGguf& gguf) { return use(gguf.bytes()); }

 private:
  TemporaryFolder folder_;
  MemoryFile content_;
};

MATCHER_P(IsCorruptIn, field, "") {
  *result_listener << to_string(arg.code) << " [" << arg.field << "] " << arg.message;
  return arg.code == ErrorCode::kCorruptFile && arg.field == field &&
         arg.message.starts_with("model.gguf: ") && arg.message.find(field) != std::string::npos;
}
MATCHER_P(IsUnsupportedIn, field, "") {
  *result_listener << to_string(arg.code) << " [" << arg.field << "] " << arg.message;
  return arg.code == ErrorCode::kUnsupported && arg.field == field && arg.message.starts_with("model.gguf: ");
}
// Bytes that a file cannot do without: up to the end of its last tensor, or of its header but for the
// padding.
size_t needed_bytes(const GgufFile& file, size_t n_bytes) {
  if (file.tensors().empty()) return n_bytes - 31;
  uint64_t end = 0;
  for (const TensorInfo& tensor : file.tensors()) end = std::max(end, tensor.offset + tensor.size_bytes);
  return static_cast<size_t>(end);
}

TEST_F(AHostileGguf, IsRefusedWhereverItIsCutOff) {
  for (const NamedGguf& gguf : small_ggufs()) {
    if (gguf.name == "split_part") continue;
    const GgufFile whole = open(gguf.bytes).value();
    const size_t needed = needed_bytes(whole, gguf.bytes.size());
    for (size_t n_kept = 0; n_kept < needed; ++n_kept) {
      const auto file = open(std::string_view(gguf.bytes).substr(0, n_kept));
      if (whole.tensors().empty() && file) continue;  // cut within the padding
      ASSERT_FALSE(file) << gguf.name << " cut to " << n_kept << " bytes of " << needed;
      ASSERT_EQ(file.error().code, ErrorCode::kCorruptFile);
      ASSERT_THAT(file.error().message, StartsWith("model.gguf: "));
      ASSERT_FALSE(file.error().field.empty());
    }
  }
}

TEST_F(AHostileGguf, SurvivesEveryFlippedBitOfItsHeader) {
  for (const GgufWriter& writer : {small_dense_model(), small_moe_model()}) {
    const std::string whole = to_bytes(writer);
    const size_t header_bits = writer.header().size() * 8;
    ASSERT_EQ(use(whole), Error{});
    for (size_t bit = 0; bit < header_bits; ++bit) {
      std::string bytes = whole;
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
      const Error error = use(bytes);
      if (error == Error{}) continue;  // a letter of a name or a value changed to another valid one
      ASSERT_THAT(error.message, StartsWith("model.gguf: ")) << "bit " << bit;
      ASSERT_FALSE(error.field.empty()) << "bit " << bit << ": " << error.message;
      ASSERT_TRUE(error.code == ErrorCode::kCorruptFile || error.code == ErrorCode::kUnsupported)
          << error.message;
    }
  }
}

TEST_F(AHostileGguf, SurvivesEveryInputThatTheFuzzerEverBrokeItWith) {
  const std::filesystem::path regressions =
      std::filesystem::path(HALOD_SOURCE_DIR) / "tests/fuzz/regressions";
  for (const auto& entry : std::filesystem::directory_iterator(regressions)) {
    std::ifstream stream(entry.path(), std::ios::binary);
    std::ostringstream bytes;
    bytes << stream.rdbuf();
    use(bytes.str());
  }
}

TEST_F(AHostileGguf, SaysHowManyBytesAreMissing) {
  const std::string whole = to_bytes(small_moe_model());
  const GgufFile file = open(whole).value();
  const size_t needed = needed_bytes(file, whole.size());
  EXPECT_THAT(use(std::string_view(whole).substr(0, needed - 567)).message,
              AllOf(HasSubstr("567 bytes are missing"), HasSubstr("fetch it again")));
}

TEST_F(AHostileGguf, IsNoGgufFileWithoutItsMagic) {
  EXPECT_THAT(use("PK\x03\x04 something else entirely"), IsCorruptIn("magic"));
  EXPECT_THAT(use(""), IsCorruptIn("magic"));
}

TEST_F(AHostileGguf, IsUnsupportedInOtherVersionsAndByteOrders) {
  std::string bytes = to_bytes(small_dense_model());
  for (const uint32_t version : {0u, 1u, 4u, 0xffffffffu, 0x03000000u}) {
    std::memcpy(bytes.data() + 4, &version, sizeof version);
    EXPECT_THAT(use(bytes), IsUnsupportedIn("version"));
  }
}

TEST_F(AHostileGguf, CannotClaimMoreEntriesThanItHasBytesFor) {
  EXPECT_THAT(use(RawGguf(~uint64_t{0}, 0)), IsCorruptIn("tensor_count"));
  EXPECT_THAT(use(RawGguf(uint64_t{1} << 61, 0)), IsCorruptIn("tensor_count"));
  EXPECT_THAT(use(RawGguf(0, ~uint64_t{0})), IsCorruptIn("metadata_kv_count"));
  EXPECT_THAT(use(RawGguf(0, 1).u64(~uint64_t{0}).text("key and some more")), IsCorruptIn("1 of 1"));
  EXPECT_THAT(use(RawGguf(0, 1).string("k").type(GgufValueType::kString).u64(~uint64_t{0} - 7)),
              IsCorruptIn("k"));
  for (const GgufValueType type : {GgufValueType::kUint8, GgufValueType::kInt64, GgufValueType::kString,
                                   GgufValueType::kBool, GgufValueType::kUint64}) {
    for (const uint64_t n : {~uint64_t{0}, uint64_t{1} << 62, uint64_t{1000}}) {
      EXPECT_THAT(use(RawGguf(0, 1).string("k").type(GgufValueType::kArray).type(type).u64(n).u64(0)),
                  IsCorruptIn("k"));
    }
  }
}

TEST_F(AHostileGguf, CannotHaveUnknownValueTypes) {
  EXPECT_THAT(use(RawGguf(0, 1).string("k").u32(13).u64(0)), IsCorruptIn("k"));
  EXPECT_THAT(use(RawGguf(0, 1).string("k").type(GgufValueType::kArray).u32(99).u64(0)), IsCorruptIn("k"));
  EXPECT_THAT(use(RawGguf(0, 1).string("k").type(GgufValueType::kBool).u8(2)), IsCorruptIn("k"));
}

TEST_F(AHostileGguf, CannotNestArrays) {
  RawGguf gguf(0, 1);
  gguf.string("k");
  for (int depth = 0; depth < 1000; ++depth) gguf.type(GgufValueType::kArray);
  EXPECT_THAT(use(gguf), IsUnsupportedIn("k"));
}

TEST_F(AHostileGguf, CannotRepeatAKeyOrATensor) {
  EXPECT_THAT(use(RawGguf(0, 2)
                      .string("k")
                      .type(GgufValueType::kBool)
                      .u8(1)
                      .string("k")
                      .type(GgufValueType::kBool)
                      .u8(1)),
              IsCorruptIn("k"));
  EXPECT_THAT(use(RawGguf(2, 0).tensor("t", {4}, 0).tensor("t", {4}, 32).data(64)), IsCorruptIn("t"));
}

TEST_F(AHostileGguf, NeedsNames) {
  EXPECT_THAT(use(RawGguf(0, 1).string("").type(GgufValueType::kUint32).u32(1)), IsCorruptIn("1 of 1"));
  EXPECT_THAT(use(RawGguf(1, 0).tensor("", {4, 1}, 0).data(64)), IsCorruptIn("1 of 1"));
}

TEST_F(AHostileGguf, ShowsUnprintableNamesEscaped) {
  const Error error = use(RawGguf(1, 0).tensor("t\x1b[2J\n\xff", {0}, 0).data(64));
  EXPECT_EQ(error.field, "t\\x1b[2J\\x0a\\xff");
  EXPECT_THAT(error.message, HasSubstr(error.field));
}

TEST_F(AHostileGguf, MustAlignByAPowerOfTwo) {
  for (const uint32_t alignment : {0u, 3u, 33u, 0xffffffffu}) {
    EXPECT_THAT(use(RawGguf(0, 1).string("general.alignment").type(GgufValueType::kUint32).u32(alignment)),
                IsCorruptIn("general.alignment"));
  }
  EXPECT_THAT(use(RawGguf(0, 1).string("general.alignment").type(GgufValueType::kString).string("32")),
              IsCorruptIn("general.alignment"));
}

TEST_F(AHostileGguf, CannotHaveImpossibleShapes) {
  EXPECT_THAT(use(RawGguf(1, 0).tensor("t", {}, 0).data(64)), IsCorruptIn("t"));
  EXPECT_THAT(use(RawGguf(1, 0).tensor("t", {1, 1, 1, 1, 1}, 0).data(64)), IsCorruptIn("t"));
  EXPECT_THAT(use(RawGguf(1, 0).string("t").u32(0xffffffff).data(64)), IsCorruptIn("t"));
  EXPECT_THAT(use(RawGguf(1, 0).tensor("t", {4, 0}, 0).data(64)), IsCorruptIn("t"));
  EXPECT_THAT(use(RawGguf(1, 0).tensor("t", {uint64_t{1} << 63}, 0).data(64)), IsCorruptIn("t"));
  // Products that wrap around to something small: elements, bytes.
  EXPECT_THAT(use(RawGguf(1, 0).tensor("t", {uint64_t{1} << 32, uint64_t{1} << 32}, 0).data(64)),
              IsCorruptIn("t"));
  EXPECT_THAT(use(RawGguf(1, 0).tensor("t", {uint64_t{1} << 62, 1}, 0).data(64)), IsCorruptIn("t"));
  EXPECT_THAT(use(RawGguf(1, 0).tensor("t", {2, uint64_t{1} << 31, uint64_t{1} << 31, 2}, 0).data(64)),
              IsCorruptIn("t"));
}

TEST_F(AHostileGguf, CannotHaveRowsOfPartialBlocks) {
  constexpr uint32_t kQ4_K = 12;
  const Error error = use(RawGguf(1, 0).tensor("t", {128, 2}, 0, kQ4_K).data(288));
  EXPECT_THAT(error, IsCorruptIn("t"));
  EXPECT_THAT(error.message, AllOf(HasSubstr("128"), HasSubstr("Q4_K"), HasSubstr("256")));
}

TEST_F(AHostileGguf, NamesFormatsThatItCannotRun) {
  const Error error = use(RawGguf(1, 0).tensor("blk.0.attn_q.weight", {256}, 0, 15).data(256));
  EXPECT_THAT(error, IsUnsupportedIn("blk.0.attn_q.weight"));
  EXPECT_THAT(error.message, AllOf(HasSubstr("Q8_K (type 15)"), HasSubstr("Q4_K"), HasSubstr("BF16")));
  EXPECT_THAT(use(RawGguf(1, 0).tensor("t", {256}, 0, 4711).data(256)).message, HasSubstr("type 4711"));
}

TEST_F(AHostileGguf, ListsAllFormatsThatItCannotRunByTheirTensors) {
  const RawGguf gguf = RawGguf(4, 0)
                           .tensor("a", {256}, 0, 15)
                           .tensor("b", {16}, 128)
                           .tensor("c", {256, 2}, 192, 9)
                           .tensor("d", {256}, 512, 15)
                           .data(640);
  const Error error = use(gguf);
  EXPECT_THAT(error, IsUnsupportedIn("a"));
  EXPECT_THAT(error.message,
              AllOf(HasSubstr("3 of 4 tensors"), HasSubstr("Q8_K (type 15) of tensor 'a' and 1 more"),
                    HasSubstr("Q8_1 (type 9) of tensor 'c';")));
  const GgufFile file = open_to_inspect(gguf.bytes()).value();
  ASSERT_EQ(file.unsupported_tensors().size(), 3U);
  const UnsupportedTensor& c = file.unsupported_tensors()[1];
  EXPECT_EQ(c.name, "c");
  EXPECT_EQ(c.shape, (std::vector<int64_t>{2, 256}));
  EXPECT_EQ(c.size_bytes, 512U - 192U);                              // up to "d"
  EXPECT_EQ(file.unsupported_tensors()[2].size_bytes, 640U - 512U);  // up to the file's end
  EXPECT_EQ(file.tensors().size(), 1U);
  EXPECT_EQ(file.check_formats().error(), error);
}

TEST_F(AHostileGguf, CannotClaimWeightsOfAnUnknownFormatThatTheFileHasNoRoomFor) {
  EXPECT_THAT(use(RawGguf(1, 0).tensor("t", {uint64_t{1} << 40}, 0, 11).data(256)), IsCorruptIn("t"));
  EXPECT_THAT(use(RawGguf(1, 0).tensor("t", {uint64_t{1} << 40, uint64_t{1} << 40}, 0, 11).data(256)),
              IsCorruptIn("t"));
  EXPECT_THAT(use(RawGguf(1, 0).tensor("t", {256}, 512, 11).data(256)), IsCorruptIn("t"));
  EXPECT_THAT(use(RawGguf(1, 0).tensor("t", {256}, ~uint64_t{31}, 11).data(256)), IsCorruptIn("t"));
  EXPECT_THAT(use(RawGguf(1, 0).tensor("t", {256}, 8, 11).data(256)), IsCorruptIn("t"));
}

TEST_F(AHostileGguf, CannotPlaceTensorsOutsideTheFile) {
  EXPECT_THAT(use(RawGguf(1, 0).tensor("t", {16}, 32).data(64)), IsCorruptIn("t"));
  EXPECT_THAT(use(RawGguf(1, 0).tensor("t", {16}, ~uint64_t{31}).data(64)), IsCorruptIn("t"));
  EXPECT_THAT(use(RawGguf(1, 0).tensor("t", {16}, uint64_t{1} << 63).data(64)), IsCorruptIn("t"));
  EXPECT_THAT(use(RawGguf(1, 0).tensor("t", {uint64_t{1} << 60}, 0).data(64)), IsCorruptIn("t"));
  EXPECT_THAT(use(RawGguf(1, 0).tensor("t", {16}, 0)), IsCorruptIn("t"));
}

TEST_F(AHostileGguf, CannotMisalignTensors) {
  EXPECT_THAT(use(RawGguf(1, 0).tensor("t", {4}, 4).data(64)), IsCorruptIn("t"));
}

TEST_F(AHostileGguf, CannotOverlapTensors) {
  const Error error = use(RawGguf(2, 0).tensor("second", {4}, 32).tensor("first", {16}, 0).data(64));
  EXPECT_THAT(error, IsCorruptIn("second"));
  EXPECT_THAT(error.message, HasSubstr("'first'"));
}

}  // namespace
}  // namespace halod
