#include "runtime/weights/hf/quantised_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <span>
#include <tuple>

#include "kernels/quant/half.h"
#include "runtime/weights/checkpoint.h"
#include "runtime/weights/hf/packed_source.h"
#include "tests/support/small_hf_model.h"
#include "tests/support/temporary_folder.h"

namespace halod {
namespace {

using ::testing::HasSubstr;
using Method = HfQuantisation::Method;

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  std::string bytes(values.size() * sizeof(T), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

/// A layer of random codes, packed by the definition, and what it means.
class RandomLinear {
 public:
  RandomLinear(const HfQuantisation& quantisation, int64_t rows, int64_t cols, uint32_t seed)
      : quantisation_(quantisation),
        rows_(rows),
        cols_(cols),
        group_(quantisation.group_size < 0 ? cols : quantisation.group_size) {
    std::mt19937 random(seed);
    const uint32_t n_codes = 1U << quantisation.bits;
    for (int64_t i = 0; i < cols * rows; ++i) codes_.push_back(random() % n_codes);
    for (int64_t i = 0; i < cols / group_ * rows; ++i) {
      zeros_.push_back(random() % n_codes);
      scales_.push_back(f32_to_f16(0.01F * static_cast<float>(random() % 1000 + 1) / 1000.0F));
    }
  }

  float weight(int64_t row, int64_t col) const {
    const auto at = static_cast<size_t>(col / group_ * rows_ + row);
    const auto code = static_cast<int>(codes_[static_cast<size_t>(col * rows_ + row)]);
    return f16_to_f32(scales_[at]) * static_cast<float>(code - static_cast<int>(zeros_[at]));
  }

  /// As compressed-tensors has it: rows as they are, zeros down the rows.
  void write_packed(SafetensorsWriter& writer, const std::string& module, bool is_symmetric) {
    const int64_t n_per_word = 32 / quantisation_.bits, n_groups = cols_ / group_;
    if (is_symmetric) std::ranges::fill(zeros_, 1U << (quantisation_.bits - 1));
    std::vector<uint32_t> words(static_cast<size_t>(rows_ * cols_ / n_per_word));
    for (int64_t row = 0; row < rows_; ++row) {
      for (int64_t col = 0; col < cols_; ++col) {
        words[static_cast<size_t>((row * cols_ + col) / n_per_word)] |=
            codes_[static_cast<size_t>(col * rows_ + row)] << (quantisation_.bits * (col % n_per_word));
      }
    }
    std::vector<uint32_t> zeros(static_cast<size_t>(rows_ / n_per_word * n_groups));
    std::vector<uint16_t> scales(scales_.size());
    for (int64_t row = 0; row < rows_; ++row) {
      for (int64_t g = 0; g < n_groups; ++g) {
        const auto from = static_cast<size_t>(g * rows_ + row);
        scales[static_cast<size_t>(row * n_groups + g)] = scales_[from];
        zeros[static_cast<size_t>(row / n_per_word * n_groups + g)] |=
            zeros_[from] << (quantisation_.bits * (row % n_per_word));
      }
    }
    writer.add(module + ".weight_packed", "I32", {rows_, cols_ / n_per_word}, bytes_of(words));
    writer.add(module + ".weight_scale", "F16", {rows_, n_groups}, bytes_of(scales));
    if (!is_symmetric)
      writer.add(module + ".weight_zero_point", "I32", {rows_ / n_per_word, n_groups}, bytes_of(zeros));
  }

  void write(SafetensorsWriter& writer, const std::string& module) const {
    const int64_t n_per_word = 32 / quantisation_.bits, n_groups = cols_ / group_;
    const bool is_awq = quantisation_.method == Method::kAwq;
    writer.add(module + ".qweight", "I32",
               is_awq ? std::vector{cols_, rows_ / 8} : std::vector{cols_ / n_per_word, rows_},
               bytes_of(is_awq ? pack_across(codes_, cols_, false) : pack_down()));
    writer.add(module + ".qzeros", "I32", {n_groups, rows_ / n_per_word},
               bytes_of(pack_across(zeros_, n_groups, quantisation_.stores_zeros_less_one)));
    writer.add(module + ".scales", "F16", {n_groups, rows_}, bytes_of(scales_));
    if (is_awq) return;
    std::vector<int32_t> g_idx;
    for (int64_t i = 0; i < cols_; ++i) g_idx.push_back(static_cast<int32_t>(i / group_));
    writer.add(module + ".g_idx", "I32", {cols_}, bytes_of(g_idx));
  }

 private:
  /// Words of neighbouring rows of W: AWQ's codes, and everybody's zeros.
  std::vector<uint32_t> pack_across(const std::vector<uint32_t>& values, int64_t n, bool less_one) const {
    constexpr int kAwqOrder[] = {0, 2, 4, 6, 1, 3, 5, 7};  // nibble i holds column kAwqOrder[i]
    const int64_t n_per_word = 32 / quantisation_.bits;
    std::vector<uint32_t> words;
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t c = 0; c < rows_ / n_per_word; ++c) {
        uint32_t word = 0;
        for (int64_t j = 0; j < n_per_word; ++j) {
          const int64_t row = c * n_per_word + (quantisation_.method == Method::kAwq ? kAwqOrder[j] : j);
          word += values[static_cast<size_t>(i * rows_ + row)] << (quantisation_.bits * j);
        }
        if (less_one) word -= quantisation_.bits == 4 ? 0x11111111U : 0x01010101U;
        words.push_back(word);
      }
    }
    return words;
  }
  /// GPTQ's codes: words of neighbouring columns of W.
  std::vector<uint32_t> pack_down() const {
    const int64_t n_per_word = 32 / quantisation_.bits;
    std::vector<uint32_t> words;
    for (int64_t k = 0; k < cols_ / n_per_word; ++k) {
      for (int64_t row = 0; row < rows_; ++row) {
        uint32_t word = 0;
        for (int64_t j = 0; j < n_per_word; ++j)
          word |= codes_[static_cast<size_t>((k * n_per_word + j) * rows_ + row)] << (quantisation_.bits * j);
        words.push_back(word);
      }
    }
    return words;
  }

  HfQuantisation quantisation_;
  int64_t rows_, cols_, group_;
  std::vector<uint32_t> codes_, zeros_;  // [cols, rows], [groups, rows]
  std::vector<uint16_t> scales_;         // [groups, rows]
};

QuantisedLinear find_linear(const SafetensorsFiles& files, const std::string& module) {
  return {.qweight = files.find(module + ".qweight"),
          .qzeros = files.find(module + ".qzeros"),
          .scales = files.find(module + ".scales"),
          .g_idx = files.find(module + ".g_idx")};
}

struct Kind {
  const char* name;
  HfQuantisation quantisation;
  Format format;
};

constexpr int64_t kRows = 40, kCols = 256;

/// All of the source's rows, and some of them, are those of the experts.
void expect_weights(const TensorSource& source, std::span<const RandomLinear> experts) {
  ASSERT_EQ(source.shape(), (std::vector<int64_t>{2, kRows, kCols}));
  const FormatTraits& format = traits(source.format());
  const int64_t row_bytes = format.row_bytes(kCols);
  source.prefetch(0, static_cast<uint64_t>(100 * row_bytes));
  for (const auto& [first, n] : {std::pair{0, 80}, {0, 1}, {3, 16}, {39, 1}, {37, 7}, {79, 1}}) {
    std::vector<std::byte> blocks(static_cast<size_t>(n * row_bytes));
    ASSERT_TRUE(source.read(static_cast<uint64_t>(first * row_bytes), blocks));
    std::vector<float> weights(static_cast<size_t>(n * kCols));
    format.dequantize(blocks.data(), n * kCols, weights.data());
    for (int64_t r = 0; r < n; ++r) {
      const RandomLinear& expert = experts[static_cast<size_t>((first + r) / kRows)];
      for (int64_t col = 0; col < kCols; ++col) {
        ASSERT_EQ(weights[static_cast<size_t>(r * kCols + col)], expert.weight((first + r) % kRows, col))
            << "row " << first + r << ", column " << col;
      }
    }
  }
}

class EveryQuantisation : public ::testing::TestWithParam<Kind> {};

TEST_P(EveryQuantisation, GivesTheWeightsOfItsDefinitionWhicheverRowsAreRead) {
  const RandomLinear experts[] = {{GetParam().quantisation, kRows, kCols, 1},
                                  {GetParam().quantisation, kRows, kCols, 2}};
  SafetensorsWriter writer;
  for (int i = 0; i < 2; ++i) experts[i].write(writer, "e" + std::to_string(i));
  const TemporaryFolder folder;
  write_files({{"model.safetensors", writer.bytes()}}, folder.path());
  const SafetensorsFiles files = SafetensorsFiles::open(folder.path()).value();
  const auto source = make_quantised_source(files, GetParam().quantisation,
                                            {find_linear(files, "e0"), find_linear(files, "e1")}, true);
  EXPECT_EQ(source->format(), GetParam().format);
  expect_weights(*source, experts);
}

constexpr HfQuantisation gptq(int bits, int64_t group_size, bool less_one) {
  return {Method::kGptq, bits, group_size, less_one};
}
constexpr HfQuantisation awq(int64_t group_size) { return {Method::kAwq, 4, group_size, false}; }

INSTANTIATE_TEST_SUITE_P(Kinds, EveryQuantisation,
                         ::testing::Values(Kind{"Gptq4G128", gptq(4, 128, true), Format::kInt4G128},
                                           Kind{"Gptq4G64V2", gptq(4, 64, false), Format::kInt4G64},
                                           Kind{"Gptq4G32", gptq(4, 32, true), Format::kInt4G32},
                                           Kind{"Gptq4Rows", gptq(4, -1, true), Format::kInt4G128},
                                           Kind{"Gptq8G128", gptq(8, 128, true), Format::kInt8G128},
                                           Kind{"Gptq8G64", gptq(8, 64, true), Format::kInt8G64},
                                           Kind{"Gptq8G32V2", gptq(8, 32, false), Format::kInt8G32},
                                           Kind{"AwqG128", awq(128), Format::kInt4G128},
                                           Kind{"AwqG64", awq(64), Format::kInt4G64},
                                           Kind{"AwqG32", awq(32), Format::kInt4G32}),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(ALayerOfCompressedTensors, GivesTheWeightsOfItsDefinition) {
  for (const bool is_symmetric : {true, false}) {
    for (const auto& [bits, group_size, format] : {std::tuple{4, 128, Format::kInt4G128},
                                                   {4, 32, Format::kInt4G32},
                                                   {4, -1, Format::kInt4G128},
                                                   {8, 64, Format::kInt8G64}}) {
      SCOPED_TRACE(std::string(traits(format).name) + (is_symmetric ? ", symmetric" : ""));
      const HfQuantisation quantisation{Method::kCompressedTensors, bits, group_size, false};
      RandomLinear experts[] = {{quantisation, kRows, kCols, 1}, {quantisation, kRows, kCols, 2}};
      SafetensorsWriter writer;
      std::vector<PackedLinear> linears(2);
      for (size_t i = 0; i < 2; ++i) experts[i].write_packed(writer, std::to_string(i), is_symmetric);
      const TemporaryFolder folder;
      write_files({{"model.safetensors", writer.bytes()}}, folder.path());
      const SafetensorsFiles files = SafetensorsFiles::open(folder.path()).value();
      for (size_t i = 0; i < 2; ++i) {
        const std::string module = std::to_string(i);
        linears[i] = {.codes = files.find(module + ".weight_packed"),
                      .scales = files.find(module + ".weight_scale"),
                      .zeros = files.find(module + ".weight_zero_point")};
      }
      EXPECT_EQ(linears[0].zeros == nullptr, is_symmetric);
      const auto source = make_packed_source(files, quantisation, linears, true);
      EXPECT_EQ(source->format(), format);
      expect_weights(*source, experts);
      linears[1].scales = linears[1].codes;
      EXPECT_THROW(make_packed_source(files, quantisation, linears, true), ErrorException);
    }
  }
}

TEST(AQuantisedLayer, IsRefusedWhereItsTensorsContradictEachOther) {
  struct Case {
    const char* what;
    const char* tensor;
    const char* dtype;
    std::vector<int64_t> shape;
    ErrorCode code;
    const char* part_of_message;
  };
  const Case cases[] = {
      {"qweight too narrow", "qweight", "I32", {8, 8}, ErrorCode::kCorruptFile, "[8, 16]"},
      {"three dimensions", "qweight", "I32", {2, 4, 16}, ErrorCode::kCorruptFile, "matrices"},
      {"empty", "scales", "F16", {0, 16}, ErrorCode::kCorruptFile, "matrices"},
      {"too few groups", "scales", "F16", {1, 16}, ErrorCode::kCorruptFile, "[2, 16]"},
      {"no words", "qzeros", "F32", {2, 2}, ErrorCode::kUnsupported, "F32, wanted I32"},
      {"wide scales", "scales", "F32", {2, 16}, ErrorCode::kUnsupported, "F32, wanted F16"},
      {"short order", "g_idx", "I32", {63}, ErrorCode::kCorruptFile, "[64]"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    SafetensorsWriter writer;
    const auto add = [&](const char* name, const char* dtype, std::vector<int64_t> shape) {
      const bool is_changed = std::string_view(name) == c.tensor;
      writer.add("l." + std::string(name), is_changed ? c.dtype : dtype, is_changed ? c.shape : shape);
    };
    add("qweight", "I32", {8, 16});
    add("qzeros", "I32", {2, 2});
    add("scales", "F16", {2, 16});
    add("g_idx", "I32", {64});
    const TemporaryFolder folder;
    write_files({{"model.safetensors", writer.bytes()}}, folder.path());
    const SafetensorsFiles files = SafetensorsFiles::open(folder.path()).value();
    try {
      make_quantised_source(files, gptq(4, 32, true), {find_linear(files, "l")}, false);
      ADD_FAILURE() << "was taken";
    } catch (const ErrorException& exception) {
      EXPECT_EQ(exception.error().code, c.code) << exception.what();
      EXPECT_THAT(exception.error().message, HasSubstr("model.safetensors: tensor 'l."));
      EXPECT_THAT(exception.error().message, HasSubstr(c.part_of_message));
    }
  }
}

TEST(AQuantisedLayer, IsRefusedWhenReadWhereItsNumbersAreNone) {
  const HfQuantisation quantisation = gptq(4, 32, true);
  const auto read_with = [&](const std::string& scales, const std::string& g_idx) {
    SafetensorsWriter writer;
    writer.add("l.qweight", "I32", {8, 16});
    writer.add("l.qzeros", "I32", {2, 2});
    writer.add("l.scales", "F16", {2, 16}, scales);
    writer.add("l.g_idx", "I32", {64}, g_idx);
    const TemporaryFolder folder;
    write_files({{"model.safetensors", writer.bytes()}}, folder.path());
    const SafetensorsFiles files = SafetensorsFiles::open(folder.path()).value();
    const auto source = make_quantised_source(files, quantisation, {find_linear(files, "l")}, false);
    std::vector<std::byte> blocks(static_cast<size_t>(16 * traits(source->format()).row_bytes(64)));
    return source->read(0, blocks);
  };
  std::vector<uint16_t> scales(32, 0x2000);
  std::vector<int32_t> order(64);
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int32_t>(i / 32);
  EXPECT_TRUE(read_with(bytes_of(scales), bytes_of(order)));
  std::swap(order[3], order[40]);
  const auto shuffled = read_with(bytes_of(scales), bytes_of(order));
  ASSERT_FALSE(shuffled);
  EXPECT_EQ(shuffled.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(shuffled.error().message, HasSubstr("desc_act"));
  std::swap(order[3], order[40]);
  scales[5] = 0x7c00;  // infinity
  const auto infinite = read_with(bytes_of(scales), bytes_of(order));
  ASSERT_FALSE(infinite);
  EXPECT_EQ(infinite.error().code, ErrorCode::kCorruptFile);
  EXPECT_EQ(infinite.error().field, "l.scales");
}

TEST(ALayerInActivationOrder, HasItsColumnsByGroupAndSaysWhichTheyAre) {
  for (const int bits : {4, 8}) {
    HfQuantisation quantisation = gptq(bits, 32, true);
    quantisation.may_reorder_columns = true;
    SafetensorsWriter writer;
    const int64_t n_per_word = 32 / bits;
    std::vector<uint32_t> words(static_cast<size_t>(64 / n_per_word * 16));
    std::mt19937 random(3);
    for (uint32_t& word : words) word = static_cast<uint32_t>(random());
    std::vector<int32_t> g_idx(64);
    for (size_t i = 0; i < g_idx.size(); ++i) g_idx[i] = i % 3 == 0 || i >= 48 ? 1 : 0;
    ASSERT_EQ(std::ranges::count(g_idx, 1), 32);
    writer.add("l.qweight", "I32", {64 / n_per_word, 16}, bytes_of(words));
    writer.add("l.qzeros", "I32", {2, 16 / n_per_word});
    writer.add("l.scales", "F16", {2, 16}, bytes_of(std::vector<uint16_t>(32, 0x3c00)));
    writer.add("l.g_idx", "I32", {64}, bytes_of(g_idx));
    const TemporaryFolder folder;
    write_files({{"model.safetensors", writer.bytes()}}, folder.path());
    const SafetensorsFiles files = SafetensorsFiles::open(folder.path()).value();
    const auto source = make_quantised_source(files, quantisation, {find_linear(files, "l")}, false);
    ASSERT_TRUE(source->has_column_order());
    const std::vector<int32_t> order = source->column_order().value();
    ASSERT_EQ(order.size(), 64U);
    for (size_t i = 0; i < 64; ++i) {
      EXPECT_EQ(g_idx[static_cast<size_t>(order[i])], i < 32 ? 0 : 1);
      if (i % 32 > 0) {
        EXPECT_LT(order[i - 1], order[i]);
      }
    }
    const FormatTraits& format = traits(source->format());
    std::vector<std::byte> blocks(static_cast<size_t>(16 * format.row_bytes(64)));
    ASSERT_TRUE(source->read(0, blocks));
    std::vector<float> weights(16 * 64);
    format.dequantize(blocks.data(), 16 * 64, weights.data());
    for (size_t row = 0; row < 16; ++row) {
      for (size_t group = 0; group < 2; ++group) {
        // The zero is the same for all of a group, so that differences are those of codes.
        const auto code = [&](int32_t col) {
          const uint32_t word = words[static_cast<size_t>(col / n_per_word * 16) + row];
          return static_cast<float>(word >> (bits * (col % n_per_word)) & ((1U << bits) - 1));
        };
        for (size_t i = group * 32; i < group * 32 + 32; ++i) {
          EXPECT_EQ(weights[row * 64 + i] - weights[row * 64 + group * 32],
                    code(order[i]) - code(order[group * 32]));
        }
      }
    }
  }
}

TEST(ALayerInActivationOrder, IsRefusedWhereItsGroupsAreNotOfOneSize) {
  HfQuantisation quantisation = gptq(4, 32, true);
  quantisation.may_reorder_columns = true;
  for (const auto& [group, code] :
       {std::pair(0, ErrorCode::kUnsupported), std::pair(2, ErrorCode::kCorruptFile),
        std::pair(-1, ErrorCode::kCorruptFile)}) {
    std::vector<int32_t> g_idx(64);
    for (size_t i = 0; i < g_idx.size(); ++i) g_idx[i] = static_cast<int32_t>(i / 32);
    g_idx[40] = group;
    SafetensorsWriter writer;
    writer.add("l.qweight", "I32", {8, 16});
    writer.add("l.qzeros", "I32", {2, 2});
    writer.add("l.scales", "F16", {2, 16}, bytes_of(std::vector<uint16_t>(32, 0x3c00)));
    writer.add("l.g_idx", "I32", {64}, bytes_of(g_idx));
    const TemporaryFolder folder;
    write_files({{"model.safetensors", writer.bytes()}}, folder.path());
    const SafetensorsFiles files = SafetensorsFiles::open(folder.path()).value();
    const auto source = make_quantised_source(files, quantisation, {find_linear(files, "l")}, false);
    const auto order = source->column_order();
    ASSERT_FALSE(order);
    EXPECT_EQ(order.error().code, code);
    EXPECT_EQ(order.error().field, "l.g_idx");
    std::vector<std::byte> row(static_cast<size_t>(traits(source->format()).row_bytes(64)));
    EXPECT_FALSE(source->read(0, row));
  }
}

}  // namespace
}  // namespace halod
