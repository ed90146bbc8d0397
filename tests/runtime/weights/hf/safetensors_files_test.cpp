#include "runtime/weights/hf/safetensors_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/memory_file.h"
#include "tests/support/small_hf_model.h"
#include "tests/support/temporary_folder.h"

namespace halod {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class SafetensorsOnDisk : public ::testing::Test {
 protected:
  Result<SafetensorsFiles> open(const HfFiles& files) {
    write_files(files, folder_.path());
    return SafetensorsFiles::open(folder_.path());
  }
  TemporaryFolder folder_;
};

TEST_F(SafetensorsOnDisk, ShowShapesDtypesAndPartsOfTheirTensors) {
  SafetensorsWriter writer;
  writer.add("a", "F16", {2, 3});
  writer.add("b", "I32", {5});
  const SafetensorsFiles files = open({{"model.safetensors", writer.bytes()}}).value();
  ASSERT_EQ(files.tensors().size(), 2U);
  const SafetensorsTensor* b = files.find("b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->dtype, "I32");
  EXPECT_EQ(b->shape, (std::vector<int64_t>{5}));
  EXPECT_EQ(b->size_bytes, 20U);
  std::vector<std::byte> bytes(3);
  ASSERT_TRUE(files.read(*b, 4, bytes));
  // The pattern of the second tensor, from its byte 4 on.
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(bytes[i], static_cast<std::byte>((i + 4) * 37 + 1));
  EXPECT_EQ(files.find("c"), nullptr);
}

TEST_F(SafetensorsOnDisk, AreOneModelWhateverShardTheirTensorsAreIn) {
  const SafetensorsFiles whole = open(small_hf_model(true)).value();
  const TemporaryFolder other;
  write_files(small_hf_model(true, true), other.path());
  const SafetensorsFiles sharded = SafetensorsFiles::open(other.path()).value();
  EXPECT_EQ(sharded.tensors().size(), whole.tensors().size());
  for (const SafetensorsTensor& tensor : whole.tensors()) {
    ASSERT_NE(sharded.find(tensor.name), nullptr) << tensor.name;
    EXPECT_EQ(sharded.find(tensor.name)->shape, tensor.shape);
  }
}

TEST_F(SafetensorsOnDisk, NameWhatIsMissing) {
  const auto none = SafetensorsFiles::open(folder_.path());
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(none.error().message,
              AllOf(HasSubstr(folder_.path().string()), HasSubstr("model.safetensors")));

  HfFiles files = small_hf_model(true, true);
  files.erase("model-00002-of-00002.safetensors");
  const auto shard = open(files);
  ASSERT_FALSE(shard);
  EXPECT_EQ(shard.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(shard.error().message, HasSubstr("model-00002-of-00002.safetensors"));
}

TEST_F(SafetensorsOnDisk, AreRefusedWhereIndexAndShardsContradict) {
  struct Case {
    const char* what;
    std::function<void(HfFiles&)> change;
    const char* field;
    const char* part_of_message;
  };
  const auto replace = [](const char* name, const char* from, const char* to) {
    return [=](HfFiles& files) {
      const size_t at = files.at(name).find(from);
      ASSERT_NE(at, std::string::npos);
      files[name].replace(at, std::string_view(from).size(), to);
    };
  };
  const char* index = "model.safetensors.index.json";
  const Case cases[] = {
      {"a name in no shard", replace(index, "model.norm.weight", "model.mean.weight"),
       "weight_map.model.mean.weight", "is in none of the files"},
      {"the wrong shard",
       replace(index, R"("model.embed_tokens.weight":"model-00001)",
               R"("model.embed_tokens.weight":"model-00002)"),
       "weight_map.model.embed_tokens.weight", "is in model-00001-of-00002.safetensors"},
      {"a way out of the folder", replace(index, R"(":"model-00001)", R"(":"../model-00001)"),
       "weight_map.model.embed_tokens.weight", "'../model-00001-of-00002.safetensors'"},
      {"a name that the system would end early",
       replace(index, R"(":"model-00001)", R"(":"\u0000model-00001)"), "weight_map.model.embed_tokens.weight",
       R"('\x00model-00001)"},
      {"no map", replace(index, "weight_map", "weights"), "weight_map", "is missing"},
      {"no JSON", [&](HfFiles& files) { files[index] = "{"; }, index, "is no JSON"},
      {"one tensor twice",
       [](HfFiles& files) {
         files["model-00002-of-00002.safetensors"] = files.at("model-00001-of-00002.safetensors");
       },
       "model.embed_tokens.weight", "is also in model-00001-of-00002.safetensors"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    HfFiles files = small_hf_model(true, true);
    c.change(files);
    const auto opened = open(files);
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, ErrorCode::kCorruptFile);
    EXPECT_EQ(opened.error().field, c.field);
    EXPECT_THAT(opened.error().message, HasSubstr(c.part_of_message));
  }
}

TEST_F(SafetensorsOnDisk, NameAFileThatIsNone) {
  std::filesystem::create_directory(folder_.path() / kSafetensorsName);
  const auto opened = SafetensorsFiles::open(folder_.path());
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, ErrorCode::kIo);
  EXPECT_EQ(opened.error().field, kSafetensorsName);
  EXPECT_THAT(opened.error().message, HasSubstr("is not a regular file"));
}

// -- files that lie

class AHostileSafetensorsFile : public ::testing::Test {
 protected:
  // Under the name that messages must show.
  AHostileSafetensorsFile() {
    std::filesystem::create_symlink(content_.path(), folder_.path() / kSafetensorsName);
  }
  Result<SafetensorsFiles> open(std::string_view bytes) {
    content_.set_content(bytes);
    return SafetensorsFiles::open(folder_.path());
  }

 private:
  TemporaryFolder folder_;
  MemoryFile content_;
};

TEST_F(AHostileSafetensorsFile, IsRefusedNamingFileAndTensor) {
  struct Case {
    const char* header;
    const char* field;
    const char* part_of_message;
  };
  // The data has 16 bytes.
  const Case cases[] = {
      {R"({"a":{"dtype":"F32","shape":[5],"data_offsets":[0,20]}})", "a", "16"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", "a", "4 bytes of data"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", "a", "from 8 to 0"},
      {R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", "a", "-1"},
      {R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}})", "a", "overflows"},
      {R"({"a":{"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]}})", "a", "4 bytes of data"},
      {R"({"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}})", "a", "1.5"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551615]}})", "a", "1844"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", "a", "1 data_offsets"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}})", "a", "more than 2"},
      {R"({"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}})", "a", "more than 8"},
      {R"({"a":{"dtype":"F32","shape":[1]}})", "a", "data_offsets"},
      {R"({"a":{"shape":[1],"data_offsets":[0,4]}})", "a", "dtype"},
      {R"({"a":{"dtype":"F32","data_offsets":[0,4]}})", "a", "shape"},
      {R"({"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "a", "two 'dtype'"},
      {R"({"a":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}})", "a", "two 'shape'"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
       "a", "twice"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
       "b", "inside tensor 'a'"},
      {R"({"a":[1]})", "a", "array"},
      {R"({"a":1})", "a", "number"},
      {R"({"a":null})", "a", "null"},
      {R"({"a":{"dtype":{"x":1}}})", "a", "object"},
      {R"({"a":{"x":true}})", "a", "boolean"},
      {R"({"a":{"shape":[[1]]}})", "a", "array"},
      {R"({"":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "header", "without a name"},
      {R"({} x)", "header", "goes on"},
      {R"({"a")", "header", "no JSON"},
      {R"([1])", "header", "does not begin"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.header);
    const auto opened = open(safetensors_bytes(c.header, std::string(16, 'x')));
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, ErrorCode::kCorruptFile);
    EXPECT_EQ(opened.error().field, c.field);
    EXPECT_THAT(opened.error().message,
                AllOf(HasSubstr("model.safetensors: "), HasSubstr(c.part_of_message)));
  }
}

TEST_F(AHostileSafetensorsFile, TakesNoMemoryForAHeaderThatIsNotThere) {
  for (const uint64_t n_bytes : {uint64_t{1}, uint64_t{1000}, uint64_t{99'000'000}, ~uint64_t{0}}) {
    std::string file = safetensors_bytes("{}", "");
    std::memcpy(file.data(), &n_bytes, sizeof n_bytes);
    const auto opened = open(file);
    ASSERT_FALSE(opened);
    EXPECT_THAT(opened.error().message, HasSubstr(std::to_string(n_bytes)));
  }
  EXPECT_THAT(open("short").error().message, HasSubstr("5 bytes"));
  EXPECT_TRUE(open(safetensors_bytes("{}", "")));
}

TEST_F(AHostileSafetensorsFile, NeverReadsOutsideWhereverItIsCutOrChanged) {
  SafetensorsWriter writer;
  writer.add("a", "F16", {2, 3});
  writer.add("b", "U8", {5});
  const std::string whole = writer.bytes();
  for (size_t n_bytes = 0; n_bytes < whole.size(); ++n_bytes) EXPECT_FALSE(open(whole.substr(0, n_bytes)));
  for (size_t i = 0; i < whole.size(); ++i) {
    for (const char byte : {'\0', '9', '"', '}', '\xff'}) {
      std::string changed = whole;
      changed[i] = byte;
      const auto opened = open(changed);
      if (!opened) continue;
      for (const SafetensorsTensor& tensor : opened->tensors()) {
        std::vector<std::byte> data(tensor.size_bytes);
        EXPECT_TRUE(opened->read(tensor, 0, data));
      }
    }
  }
}

}  // namespace
}  // namespace halod
