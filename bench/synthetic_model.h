// Random-weight models of real shapes, so that anyone can measure without a download and tests can make their
// fixtures.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string_view>

#include "base/error.h"
#include "bench/model_shapes.h"
#include "runtime/weights/gguf_writer.h"

namespace halod {

/// Which format each tensor gets. Norms and the router are F32 in all.
struct FormatRecipe {
  std::string_view name;          ///< as files are named, "Q4_K_M", or a format's own name
  Format format;                  ///< of most matrices
  Format important_format;        ///< attn_v and ffn_down of some layers
  Format output_format;           ///< the output matrix, or the embedding where it is both
  std::optional<Format> experts;  ///< all expert matrices, where they differ from the rest
};

/// The usual mixes, near enough to llama.cpp's for measurements, and one recipe for each format of
/// kernels/quant/formats.h whose name no mix has (an IQ4_XS file is a mix). Thread: any.
std::span<const FormatRecipe> format_recipes();
/// nullptr when there is none of that name.
const FormatRecipe* find_format_recipe(std::string_view name);

struct SyntheticModelOptions {
  ModelShape shape;
  FormatRecipe recipe;
  int64_t n_layers = 0;
  uint64_t seed = 1;
  int n_threads = 2;
};

/// A model's header, and the weights behind it: roughly Gaussian with variance 1 / fan_in, so that
/// activations stay finite through any number of layers. Large tensors repeat a pool of encoded runs in
/// pseudo-random order: encoding billions of weights would take minutes and change nothing that can be
/// measured. The same options give the same bytes on every machine.
class SyntheticModel {
 public:
  explicit SyntheticModel(const SyntheticModelOptions& options);

  uint64_t file_bytes() const { return writer_.file_bytes(); }
  /// Bytes of weights that decoding one token reads.
  uint64_t active_bytes_per_token() const;
  /// For tests that want to change the header.
  const GgufWriter& writer() const { return writer_; }

  /// Errors: kIo.
  Result<> write(const std::filesystem::path& path, const WriteProgressCallback& progress = {}) const;

 private:
  void add_metadata();
  void add_tensors();
  /// What a layer's matrices are stored as: important ones get more bits in some layers.
  struct LayerFormats {
    Format usual, important;
  };
  void add_layer(int64_t layer_idx);
  void add_attention(int64_t layer_idx, const LayerFormats& formats);
  void add_delta_net(int64_t layer_idx, const LayerFormats& formats);
  void add_experts(int64_t layer_idx, const LayerFormats& formats);
  void add(int64_t layer_idx, std::string_view name, Format format, std::vector<int64_t> shape);

  SyntheticModelOptions options_;
  GgufWriter writer_;
};

}  // namespace halod
