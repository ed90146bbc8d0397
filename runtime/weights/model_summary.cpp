#include "runtime/weights/model_summary.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include "runtime/weights/ggml_types.h"
#include "runtime/weights/gguf_reader.h"

namespace halod {
namespace {

constexpr std::string_view kExperts = "experts";
constexpr std::string_view kEmbedding = "embedding";
/// Of the layers of <arch>.nextn_predict_layers, which no answer depends on.
constexpr std::string_view kGuessingAhead = "guessing ahead";

/// The layer that the tensor is in; -1 where it is in none.
int64_t layer_of(std::string_view name) {
  int64_t layer = -1;
  if (name.starts_with("blk.")) std::from_chars(name.data() + 4, name.data() + name.size(), layer);
  return layer;
}

/// GGUF's tensor names (gguf-py, constants.py, TENSOR_NAMES); the first row that fits is the kind.
struct KindRow {
  std::string_view part_of_name;
  std::string_view kind;
};
constexpr std::array kKinds{
    KindRow{"_exps.", kExperts},       KindRow{"_shexp", "shared experts"},
    KindRow{"ffn_gate_inp", "router"}, KindRow{"exp_probs_b", "router"},
    KindRow{"norm", "norms"},          KindRow{"token_embd", kEmbedding},
    KindRow{"attn_", "attention"},     KindRow{"ssm_", "recurrent"},
    KindRow{"ffn_", "feed-forward"},
};

std::string_view kind_of(std::string_view name) {
  if (name.starts_with("output.")) return "output";
  const auto row = std::ranges::find_if(
      kKinds, [name](const KindRow& r) { return name.find(r.part_of_name) != std::string_view::npos; });
  return row == kKinds.end() ? "other" : row->kind;
}

class Summariser {
 public:
  explicit Summariser(const Checkpoint& file)
      : metadata_(file.metadata()),
        file_(file),
        has_output_(std::ranges::any_of(file.tensors(), is_output) ||
                    std::ranges::any_of(file.unsupported_tensors(), is_output)) {}

  ModelSummary summarise() {
    summary_.architecture = printable(metadata_.string_or("general.architecture", "").value());
    summary_.name = printable(metadata_.string_or("general.name", "").value());
    summary_.context_length = count("context_length");
    summary_.n_experts = count("expert_count");
    n_unused_layers_ = count("nextn_predict_layers");
    n_layers_ = count("block_count") - n_unused_layers_;
    summary_.n_experts_per_token = std::min(count("expert_used_count"), summary_.n_experts);
    for (const TensorInfo& tensor : file_.tensors())
      add({tensor.name, format_of(tensor), true, tensor.shape, tensor.size_bytes});
    for (const UnsupportedTensor& tensor : file_.unsupported_tensors()) {
      add({tensor.name, tensor.format, false, tensor.shape, tensor.size_bytes});
    }
    std::ranges::stable_sort(summary_.groups, std::ranges::greater(), &TensorGroup::bytes);
    return std::move(summary_);
  }

 private:
  struct Tensor {
    std::string_view name;
    std::string format;
    bool supported;
    const std::vector<int64_t>& shape;
    uint64_t bytes;
  };

  static std::string format_of(const TensorInfo& tensor) {
    const std::string_view format = traits(tensor.format).name;
    return tensor.expanded_from.empty() ? std::string(format)
                                        : fmt::format("{} as {}", tensor.expanded_from, format);
  }

  static constexpr auto is_output = [](const auto& tensor) { return tensor.name == "output.weight"; };

  int64_t count(std::string_view suffix) const {
    const std::string key = fmt::format("{}.{}", summary_.architecture, suffix);
    return std::max<int64_t>(0, metadata_.integer_or(key, 0).value());
  }

  /// Of an amount that all experts share equally.
  uint64_t of_chosen_experts(uint64_t amount) const {
    if (summary_.n_experts_per_token == 0) return amount;
    return amount / static_cast<uint64_t>(summary_.n_experts) *
           static_cast<uint64_t>(summary_.n_experts_per_token);
  }

  uint64_t bytes_per_token(const Tensor& tensor, std::string_view kind) const {
    if (kind == kExperts) return of_chosen_experts(tensor.bytes);
    // One row of it, unless it is the output matrix too.
    if (kind == kEmbedding && has_output_ && tensor.shape.size() == 2 && tensor.shape.front() > 0)
      return tensor.bytes / static_cast<uint64_t>(tensor.shape.front());
    return tensor.bytes;
  }

  void add(const Tensor& tensor) {
    const bool is_unused = n_unused_layers_ > 0 && layer_of(tensor.name) >= n_layers_;
    const std::string_view kind = is_unused ? kGuessingAhead : kind_of(tensor.name);
    uint64_t n_parameters = 1;
    for (const int64_t extent : tensor.shape) n_parameters *= static_cast<uint64_t>(extent);
    summary_.n_parameters += n_parameters;
    if (!is_unused)
      summary_.n_active_parameters += kind == kExperts ? of_chosen_experts(n_parameters) : n_parameters;
    const uint64_t n_read = is_unused ? 0 : bytes_per_token(tensor, kind);
    summary_.tensor_bytes += tensor.bytes;
    summary_.weight_bytes_per_token += n_read;
    auto group = std::ranges::find_if(summary_.groups, [&](const TensorGroup& g) {
      return g.kind == kind && g.format == tensor.format && g.supported == tensor.supported;
    });
    if (group == summary_.groups.end()) {
      group = summary_.groups.insert(
          group, {.kind = std::string(kind), .format = tensor.format, .supported = tensor.supported});
    }
    ++group->n_tensors;
    group->bytes += tensor.bytes;
    group->bytes_per_token += n_read;
  }

  const Metadata& metadata_;
  const Checkpoint& file_;
  const bool has_output_;
  int64_t n_layers_ = 0, n_unused_layers_ = 0;  // those that are computed with, those behind them
  ModelSummary summary_;
};

}  // namespace

uint64_t used_tensor_bytes(const Checkpoint& file, const ModelConfig& config) {
  uint64_t total = 0;
  for (const TensorInfo& tensor : file.tensors()) {
    if (layer_of(tensor.name) < config.n_layers) total += tensor.size_bytes;
  }
  return total;
}

Result<ModelSummary> summarise_model(const Checkpoint& file) {
  try {
    return Summariser(file).summarise();
  } catch (const ErrorException& exception) {
    return exception.error();
  }
}

}  // namespace halod
