// The same random model twice, as a Hugging Face folder and as the GGUF file that a converter makes of it:
// what both say must be the same. The folder's tensors are made first, by the names and shapes of the
// families' published code, and the file's out of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/quant/formats.h"
#include "runtime/weights/gguf_writer.h"
#include "tests/support/small_hf_model.h"

namespace halod::test {

/// Values of a tensor, row after row.
struct TwinTensor {
  std::vector<int64_t> shape;
  std::vector<float> values = {};

  int64_t rows() const { return shape.size() < 2 ? 1 : shape[shape.size() - 2]; }
  int64_t cols() const { return shape.back(); }
  /// Rows `order`, in that order; of a vector, its values.
  TwinTensor chosen(const std::vector<int64_t>& order) const;
  TwinTensor reshaped(std::vector<int64_t> other) const { return {std::move(other), values}; }
  void append(const TwinTensor& other);  ///< below
};

/// The first with others below it under a new leading extent.
TwinTensor stacked(const std::vector<TwinTensor>& tensors);

enum class TwinQuantisation : uint8_t {
  kNone,
  kGptq,          ///< 4 bits, groups of 32, in the order of their columns
  kGptqActOrder,  ///< the same, each layer's columns in groups of its own choice
  kFp8Blocks,     ///< 8-bit floats, blocks of 32 x 48, the last ones cut short
  kFp8Channels,   ///< compressed-tensors, a scale for each row
};

struct TwinOptions {
  std::string dtype = "BF16";  ///< of what is not quantised
  TwinQuantisation quantisation = TwinQuantisation::kNone;
  bool ties_output = false;
  /// Replaces the first text by the second in config.json.
  std::vector<std::pair<std::string, std::string>> config_changes = {};
};

class HfTwin {
 public:
  explicit HfTwin(const TwinOptions& options, uint32_t seed = 7) : options_(options), random_(seed) {}
  const TwinOptions& options() const { return options_; }

  /// Normal values around `mean` that the folder's dtype holds.
  TwinTensor random(std::vector<int64_t> shape, float deviation, float mean = 0);
  /// A linear layer of the folder's, quantised where the options say so: its weights as they then are.
  TwinTensor linear(const std::string& module, int64_t rows, int64_t cols, float gain = 1);
  /// One that quantisation leaves as it is.
  TwinTensor plain_linear(const std::string& module, int64_t rows, int64_t cols, float gain = 1);
  /// Into the folder.
  void add_hf(const std::string& name, const TwinTensor& tensor);
  void add_hf_bytes(const std::string& name, const std::string& dtype, std::vector<int64_t> shape,
                    std::string bytes);
  /// Into the file: matrices in the dtype of the folder, or F32 where that is quantised in groups; vectors
  /// and tables F32.
  void add_gguf(const std::string& name, const TwinTensor& tensor, bool is_matrix = true);
  void add_gguf_bytes(const std::string& name, Format format, std::vector<int64_t> shape, std::string bytes);
  /// The same values in both; `is_matrix` as above.
  void add(const std::string& hf_name, const std::string& gguf_name, const TwinTensor& tensor,
           bool is_matrix = true);

  void set_config(std::string json) { config_ = std::move(json); }
  void set(const std::string& key, const MetadataValue& value) { metadata_.emplace_back(key, value); }
  std::mt19937& generator() { return random_; }

  /// `folder`/hf and `folder`/twin.gguf.
  void write(const std::filesystem::path& folder);

 private:
  TwinTensor add_gptq(const std::string& module, const TwinTensor& weights);
  TwinTensor add_fp8(const std::string& module, const TwinTensor& weights);
  std::string quantisation_config() const;
  Format matrix_format() const;

  TwinOptions options_;
  std::mt19937 random_;
  std::string config_;
  std::vector<std::pair<std::string, MetadataValue>> metadata_;
  SafetensorsWriter hf_;
  struct GgufTensor {
    std::string name;
    Format format;
    std::vector<int64_t> shape;
    std::string bytes;
  };
  std::vector<GgufTensor> gguf_;
};

/// Two or more layers of a family, by its model_type, written into `folder`; "nemotron_h, dense" has no
/// experts.
void write_twin(const std::string& model_type, const TwinOptions& options,
                const std::filesystem::path& folder);

}  // namespace halod::test
