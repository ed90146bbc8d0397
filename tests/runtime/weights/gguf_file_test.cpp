#include "runtime/weights/gguf_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "runtime/weights/model_config.h"
#include "tests/support/small_gguf.h"
#include "tests/support/temporary_folder.h"

namespace halod {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class AGgufFile : public ::testing::Test {
 protected:
  Result<GgufFile> open(const GgufWriter& writer) {
    return GgufFile::open(folder_.write_file("model.gguf", to_bytes(writer)));
  }
  TemporaryFolder folder_;
};

TEST_F(AGgufFile, ShowsShapesOutermostFirstAndSizesInBytes) {
  const GgufFile file = open(small_moe_model()).value();
  const TensorInfo* experts = file.find_tensor("blk.0.ffn_up_exps.weight");
  ASSERT_NE(experts, nullptr);
  EXPECT_THAT(experts->shape, ElementsAre(4, 8, 8));
  EXPECT_EQ(experts->format, Format::kF32);
  EXPECT_EQ(experts->size_bytes, 4u * 8 * 8 * 4);
  const TensorInfo* embedding = file.find_tensor("token_embd.weight");
  ASSERT_NE(embedding, nullptr);
  EXPECT_THAT(embedding->shape, ElementsAre(20, 8));
  EXPECT_EQ(file.tensors().size(), 4u);
  EXPECT_EQ(file.total_tensor_bytes(), 20u * 8 * 2 + 8 * 4 + 16 * 8 * 2 + 4 * 8 * 8 * 4);
  EXPECT_EQ(file.find_tensor("token_embd"), nullptr);
}

TEST_F(AGgufFile, ReadsPartsOfATensor) {
  const GgufFile file = open(small_moe_model()).value();
  const TensorInfo* experts = file.find_tensor("blk.0.ffn_up_exps.weight");
  ASSERT_NE(experts, nullptr);
  // The experts start at byte 320 + 32 + 256 of the data section.
  std::vector<std::byte> bytes(5);
  ASSERT_TRUE(file.read(*experts, 1019, bytes));
  for (size_t i = 0; i < bytes.size(); ++i) {
    EXPECT_EQ(bytes[i], static_cast<std::byte>((320 + 32 + 256 + 1019 + i) * 37));
  }
  EXPECT_TRUE(file.read(*experts, experts->size_bytes, {}));
}

TEST_F(AGgufFile, ReportsAFileThatWasCutWhileOpen) {
  const GgufFile file = open(small_moe_model()).value();
  std::filesystem::resize_file(folder_.path() / "model.gguf", 100);
  std::vector<std::byte> bytes(4);
  const auto read = file.read(file.tensors()[0], 0, bytes);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::kCorruptFile);
  EXPECT_THAT(read.error().message, StartsWith("model.gguf: "));
}

TEST_F(AGgufFile, KeepsEveryKindOfMetadata) {
  for (const NamedGguf& gguf : small_ggufs()) {
    if (gguf.name != "metadata_types") continue;
    const GgufFile file = GgufFile::open(folder_.write_file("model.gguf", gguf.bytes)).value();
    const Metadata& metadata = file.metadata();
    EXPECT_EQ(metadata.boolean("a.boolean").value(), true);
    EXPECT_EQ(metadata.integer("a.small").value(), 7);
    EXPECT_EQ(metadata.integer("a.negative").value(), -7);
    EXPECT_EQ(std::get<uint64_t>(*metadata.find("a.huge")), ~uint64_t{0});
    EXPECT_EQ(metadata.real("a.number").value(), 0.5);
    EXPECT_EQ(metadata.real("a.small").value(), 7.0);
    EXPECT_THAT(metadata.integers("some.integers").value(), ElementsAre(1, -2, 3));
    EXPECT_THAT(metadata.integers("some.large_integers").value(), ElementsAre(int64_t{1} << 40));
    EXPECT_THAT(metadata.reals("some.numbers").value(), ElementsAre(0.25, -1.5));
    EXPECT_THAT(metadata.strings("some.strings").value(), ElementsAre("x", "", "yz"));
    EXPECT_EQ(std::get<MetadataArray>(*metadata.find("some.booleans")),
              MetadataArray(std::vector<bool>{true, false, true}));
    EXPECT_TRUE(metadata.strings("no.strings").value().empty());
  }
}

TEST_F(AGgufFile, OpensWithoutTensors) {
  for (const NamedGguf& gguf : small_ggufs()) {
    if (gguf.name != "vocabulary") continue;
    const GgufFile file = GgufFile::open(folder_.write_file("vocabulary.gguf", gguf.bytes)).value();
    EXPECT_TRUE(file.tensors().empty());
    EXPECT_EQ(file.total_tensor_bytes(), 0u);
  }
}

TEST_F(AGgufFile, ReadsVersion2AsVersion3) {
  std::string bytes = to_bytes(small_dense_model());
  bytes[4] = 2;
  EXPECT_TRUE(GgufFile::open(folder_.write_file("model.gguf", bytes)));
}

TEST_F(AGgufFile, IsNotFoundWhereThereIsNone) {
  const auto file = GgufFile::open(folder_.path() / "none.gguf");
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(file.error().message, HasSubstr("none.gguf"));
}

TEST_F(AGgufFile, IsNoFolderAndNoDevice) {
  for (const auto& path : {folder_.path(), std::filesystem::path("/dev/zero")}) {
    const auto file = GgufFile::open(path);
    ASSERT_FALSE(file);
    EXPECT_EQ(file.error().code, ErrorCode::kIo);
  }
}

// Parts 1 and 2 hold the tensors "first" and "second".
class ASplitModel : public ::testing::Test {
 protected:
  struct Part {
    int64_t number;
    int64_t count;
    int64_t n_tensors;
    std::string tensor;
  };
  std::filesystem::path write(const std::string& name, const Part& part) {
    GgufWriter writer;
    writer.add_metadata("general.architecture", "qwen3");
    writer.add_metadata("split.no", part.number);
    writer.add_metadata("split.count", part.count);
    writer.add_metadata("split.tensors.count", part.n_tensors);
    writer.add_tensor(part.tensor, Format::kF32, {4});
    return folder_.write_file(name, to_bytes(writer));
  }
  Error error_of_two_parts(const Part& first, const Part& second) {
    const auto path = write("m-00001-of-00002.gguf", first);
    write("m-00002-of-00002.gguf", second);
    const auto file = GgufFile::open(path);
    return file ? Error{.code = ErrorCode::kInternal, .message = "opened"} : file.error();
  }
  TemporaryFolder folder_;
};

TEST_F(ASplitModel, ReadsEachTensorFromItsPart) {
  const auto path = write("m-00001-of-00002.gguf", {0, 2, 2, "first"});
  write("m-00002-of-00002.gguf", {1, 2, 2, "second"});
  const GgufFile file = GgufFile::open(path).value();
  ASSERT_EQ(file.tensors().size(), 2u);
  EXPECT_EQ(file.find_tensor("first")->file_idx, 0u);
  EXPECT_EQ(file.find_tensor("second")->file_idx, 1u);
  std::vector<std::byte> bytes(16);
  ASSERT_TRUE(file.read(*file.find_tensor("second"), 0, bytes));
  EXPECT_EQ(bytes[3], static_cast<std::byte>(3 * 37));
}

TEST_F(ASplitModel, NamesItsMissingParts) {
  const auto path = write("m-00001-of-00003.gguf", {0, 3, 3, "first"});
  write("m-00003-of-00003.gguf", {2, 3, 3, "third"});
  const auto file = GgufFile::open(path);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(file.error().message,
              AllOf(StartsWith("m-00001-of-00003.gguf: "), HasSubstr("m-00002-of-00003.gguf"),
                    ::testing::Not(HasSubstr("m-00003-of-00003.gguf"))));
}

TEST_F(ASplitModel, IsOpenedByItsFirstPartOnly) {
  write("m-00001-of-00002.gguf", {0, 2, 2, "first"});
  const auto file = GgufFile::open(write("m-00002-of-00002.gguf", {1, 2, 2, "second"}));
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().field, "split.no");
  EXPECT_THAT(file.error().message, HasSubstr("part 2 of 2"));
}

TEST_F(ASplitModel, WantsTheNamesThatSplittingGave) {
  const auto file = GgufFile::open(write("renamed.gguf", {0, 2, 2, "first"}));
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().field, "split.count");
  EXPECT_THAT(file.error().message, HasSubstr("-00001-of-00002.gguf"));
}

TEST_F(ASplitModel, RefusesPartsThatDisagree) {
  EXPECT_EQ(error_of_two_parts({0, 2, 2, "first"}, {0, 2, 2, "second"}).field, "split.no");  // a cycle
  EXPECT_EQ(error_of_two_parts({0, 2, 2, "first"}, {1, 3, 2, "second"}).field, "split.count");
  EXPECT_EQ(error_of_two_parts({0, 2, 2, "first"}, {1, 2, 9, "second"}).field, "split.tensors.count");
  EXPECT_EQ(error_of_two_parts({0, 2, 5, "first"}, {1, 2, 5, "second"}).field, "split.tensors.count");
  EXPECT_EQ(error_of_two_parts({0, 2, 2, "same"}, {1, 2, 2, "same"}).field, "same");
}

TEST_F(ASplitModel, RefusesAbsurdPartCounts) {
  for (const int64_t count : {int64_t{-1}, int64_t{513}, int64_t{1} << 40}) {
    const auto file = GgufFile::open(write("m-00001-of-00002.gguf", {0, count, 2, "first"}));
    ASSERT_FALSE(file);
    EXPECT_EQ(file.error().field, "split.count");
  }
}

TEST_F(ASplitModel, MayHaveOnePartUnderAnyName) {
  EXPECT_TRUE(GgufFile::open(write("whole.gguf", {0, 1, 1, "first"})));
}

TEST(TheConformanceKit, OpensExceptWhereFormatsAreUnsupported) {
  const std::filesystem::path folder = std::filesystem::path(HALOD_CONFORMANCE_DIR) / "gguf";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no conformance kit at " << folder;
  int n_opened = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const auto file = GgufFile::open(entry.path());
    n_opened += file.has_value() ? 1 : 0;
    if (!file) {
      EXPECT_EQ(file.error().code, ErrorCode::kUnsupported) << file.error().message;
      continue;
    }
    const auto config = read_model_config(*file);
    if (!config) {
      EXPECT_EQ(config.error().code, ErrorCode::kUnsupported) << config.error().message;
    }
  }
  EXPECT_GE(n_opened, 7);
}

}  // namespace
}  // namespace halod
