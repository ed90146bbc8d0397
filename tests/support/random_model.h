// Tiny models of random weights for tests that compare whole forward passes: families that no public file of
// a few hundred KB exists of. Everything follows from the seed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/quant/formats.h"
#include "runtime/weights/gguf_writer.h"
#include "tests/support/temporary_folder.h"

namespace halod::test {

/// A GGUF file in the making: metadata, and tensors of normal values. Thread: one.
class RandomModel {
 public:
  /// `matrix_format`: of what matrix() adds, where its blocks divide the columns; else F32.
  RandomModel(std::string architecture, uint32_t seed, Format matrix_format = Format::kF32);

  /// The key "<architecture>.<suffix>".
  void set(const std::string& suffix, const MetadataValue& value);
  void set_by_layer(const std::string& suffix, std::vector<int64_t> values);
  /// Deviation gain / sqrt(columns): what is multiplied with it keeps its size, times the gain.
  void matrix(const std::string& name, std::vector<int64_t> shape, double gain = 1);
  /// F32: norms, biases and other vectors and small tables.
  void values(const std::string& name, std::vector<int64_t> shape, double mean, double deviation);
  /// F32: minus the exponential of such values, as files keep rates of decay.
  void decay_rates(const std::string& name, std::vector<int64_t> shape, double mean, double deviation);

  /// Throws std::runtime_error.
  void write(const std::filesystem::path& path) const;

 private:
  std::vector<float> normal_values(const std::vector<int64_t>& shape, double mean, double deviation);
  void add(const std::string& name, Format format, const std::vector<int64_t>& shape,
           const std::vector<float>& values);

  std::string architecture_;
  std::mt19937 generator_;
  Format matrix_format_;
  GgufWriter writer_;
  std::map<std::string, std::vector<std::byte>, std::less<>> tensors_;
};

/// One model of a family. Columns of all matrices are multiples of 32; the vocabulary has 256 ids and no
/// tokens, the context 512.
struct RandomFamily {
  std::string_view name;  ///< "qwen35moe"; variants of an architecture have a suffix: "glm4moe-air"
  void (*fill)(RandomModel& model);
  std::string_view architecture;
};
std::span<const RandomFamily> random_families();

/// The file of the family of that name, as long as this object. Throws std::out_of_range for an unknown name.
class RandomModelFile {
 public:
  explicit RandomModelFile(std::string_view family, Format matrix_format = Format::kF32, uint32_t seed = 1);
  std::filesystem::path path() const { return folder_.path() / "model.gguf"; }

 private:
  TemporaryFolder folder_;
};

}  // namespace halod::test
