#include "runtime/weights/hf/hf_checkpoint.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <utility>

#include "runtime/weights/gguf_reader.h"
#include "runtime/weights/hf/hf_tokenizer.h"
#include "runtime/weights/hf/packed_source.h"
#include "runtime/weights/hf/quantised_source.h"

namespace halod {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kConfigName = "config.json";
constexpr std::string_view kOutputModule = "lm_head.";
/// Buffers that some converters write and that halod computes.
constexpr std::string_view kIgnoredSuffixes[] = {".rotary_emb.inv_freq"};

bool is_ignored(std::string_view name) {
  return std::ranges::any_of(kIgnoredSuffixes,
                             [&](std::string_view suffix) { return name.ends_with(suffix); });
}

std::string name_of(const fs::path& folder) {
  std::error_code ignored;
  const fs::path path = fs::absolute(folder, ignored).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

UnsupportedTensor unsupported(const SafetensorsTensor& tensor) {
  return {.name = tensor.name,
          .format = tensor.dtype,
          .format_in_file = tensor.dtype,
          .shape = tensor.shape,
          .file_idx = tensor.file_idx,
          .offset = tensor.offset,
          .size_bytes = tensor.size_bytes};
}

using Parts = HfCheckpoint::Parts;
using Gathered = HfCheckpoint::Gathered;

/// The parameter that a quantised layer has instead of its weight, and the others that go with it.
struct QuantisedParts {
  std::string_view codes;
  std::array<std::string_view, 3> others;
};
constexpr QuantisedParts kGptqParts = {"qweight", {"qzeros", "scales", "g_idx"}};
constexpr QuantisedParts kPackedParts = {"weight_packed",
                                         {"weight_scale", "weight_zero_point", "weight_shape"}};

/// In config.json, or as older GPTQ checkpoints have it in a file of its own.
std::optional<HfQuantisation> find_quantisation(const JsonObject& config, const SafetensorsFiles& files,
                                                const fs::path& folder) {
  if (const auto quantisation = config.object("quantization_config")) return read_quantisation(*quantisation);
  const bool has_words = std::ranges::any_of(
      files.tensors(), [](const SafetensorsTensor& tensor) { return tensor.name.ends_with(".qweight"); });
  if (!has_words) return std::nullopt;
  return read_quantisation(read_json_file(folder / "quantize_config.json").value());
}
/// As the reader of the configuration has it; 0 where the numbers make no sense, which it says.
int64_t head_dim_of(const JsonObject& config) {
  constexpr int64_t kMaxHeadDim = 1 << 16;
  const int64_t n_heads = std::max<int64_t>(1, config.integer("num_attention_heads").value_or(1));
  const int64_t head_dim =
      config.integer("head_dim").value_or(config.integer("hidden_size").value_or(0) / n_heads);
  return head_dim > 0 && head_dim <= kMaxHeadDim ? head_dim : 0;
}

/// The tensors of the files by halod's stem.
std::map<std::string, Gathered> gather(const SafetensorsFiles& files, const HfFamily& family,
                                       bool ties_output) {
  std::map<std::string, Gathered> gathered;
  for (const SafetensorsTensor& tensor : files.tensors()) {
    if (is_ignored(tensor.name)) continue;
    const auto name = parse_hf_tensor_name(family, tensor.name);
    if (!name) {
      throw ErrorException(
          files.error_at(tensor, ErrorCode::kUnsupported,
                         fmt::format("is none that model type '{}' has in this build; leaving it out "
                                     "would change the model",
                                     family.model_type)));
    }
    if (ties_output && name->gguf_stem == "output") continue;
    Gathered& module = gathered[name->gguf_stem];
    module.pairs_neighbours = name->pairs_neighbours;
    module.experts[name->expert_idx.value_or(-1)].emplace(name->parameter, &tensor);
  }
  return gathered;
}

/// One parameter of every expert, in their order. All experts must have it, in one shape and dtype.
std::vector<const SafetensorsTensor*> all_experts(const SafetensorsFiles& files, const Gathered& gathered,
                                                  std::string_view parameter) {
  std::vector<const SafetensorsTensor*> experts;
  for (const auto& [expert_idx, parts] : gathered.experts) {
    const auto part = parts.find(parameter);
    const auto expected = static_cast<int64_t>(experts.size());
    if (part == parts.end() || (expert_idx >= 0 && expert_idx != expected)) {
      throw ErrorException(files.error_at(
          part == parts.end() ? *parts.begin()->second : *part->second, ErrorCode::kCorruptFile,
          part == parts.end() ? fmt::format("is there, but not its module's '{}'", parameter)
                              : fmt::format("is there, but not that of expert {}", expected)));
    }
    const SafetensorsTensor& tensor = *part->second;
    if (!experts.empty() &&
        (tensor.shape != experts.front()->shape || tensor.dtype != experts.front()->dtype)) {
      throw ErrorException(
          files.error_at(tensor, ErrorCode::kCorruptFile,
                         fmt::format("is {} [{}], but '{}' is {} [{}]", tensor.dtype,
                                     fmt::join(tensor.shape, ", "), printable(experts.front()->name),
                                     experts.front()->dtype, fmt::join(experts.front()->shape, ", "))));
    }
    experts.push_back(&tensor);
  }
  return experts;
}

}  // namespace

bool HfCheckpoint::is_model(const fs::path& folder) {
  std::error_code ignored;
  return fs::is_regular_file(folder / kConfigName, ignored) &&
         (fs::is_regular_file(folder / kSafetensorsName, ignored) ||
          fs::is_regular_file(folder / kSafetensorsIndexName, ignored));
}

Result<HfCheckpoint> HfCheckpoint::open(const fs::path& folder) {
  auto model = open_to_inspect(folder);
  if (!model) return model.error();
  if (model->family_ == nullptr) {
    const std::string model_type = model->metadata_.string("general.architecture").value();
    return Error{ErrorCode::kUnsupported,
                 fmt::format("{}: 'model_type' is '{}'; supported are {}", (folder / kConfigName).string(),
                             model_type, hf_family_names()),
                 "model_type"};
  }
  if (const auto checked = model->check_formats(); !checked) return checked.error();
  return model;
}

Result<HfCheckpoint> HfCheckpoint::open_to_inspect(const fs::path& folder) {
  try {
    const JsonObject config = read_json_file(folder / kConfigName).value();
    const std::string model_type = config.required_string("model_type");
    HfCheckpoint model(folder);
    model.files_ = std::make_unique<const SafetensorsFiles>(SafetensorsFiles::open(folder).value());
    model.family_ = find_hf_family(model_type);
    if (model.family_ == nullptr) {
      model.metadata_ = Metadata(std::string(kConfigName));
      model.metadata_.insert("general.architecture", printable(model_type));
      model.metadata_.insert("general.name", name_of(folder));
      model.metadata_.set_name_in_file("general.architecture", "model_type");
      model.add_tensors_as_they_are();
    } else {
      model.metadata_ = translate_hf_config(config, *model.family_, name_of(folder));
      model.metadata_.set_name_in_file("token_embd.weight", model.name_in_files("token_embd.weight"));
      model.add_tensors(config);
    }
    return model;
  } catch (const ErrorException& exception) {
    return exception.error();
  }
}

void HfCheckpoint::add_source(const std::string& name, std::unique_ptr<const TensorSource> source) {
  const std::vector<int64_t>& shape = source->shape();
  const auto source_idx = static_cast<uint32_t>(sources_.size());
  TensorInfo tensor{.name = name, .format = source->format(), .shape = shape, .file_idx = source_idx};
  tensor.size_bytes = static_cast<uint64_t>(tensor.rows() * traits(tensor.format).row_bytes(tensor.cols()));
  sources_.push_back(std::move(source));
  const bool is_new = add_tensor(std::move(tensor));
  HALOD_ASSERT(is_new);
}

void HfCheckpoint::add_source(const std::string& name, const Gathered& gathered,
                              std::unique_ptr<const TensorSource> source) {
  if (!gathered.pairs_neighbours) return add_source(name, std::move(source));
  const int64_t rows = source->shape().front();
  if (head_dim_ < 2 || head_dim_ % 2 != 0 || rows % head_dim_ != 0) {
    throw ErrorException(
        files_->error_at(*gathered.experts.begin()->second.begin()->second, ErrorCode::kCorruptFile,
                         fmt::format("has {} rows, which heads of {} do not divide", rows, head_dim_)));
  }
  add_source(name, make_neighbour_pairs(std::move(source), head_dim_));
}

void HfCheckpoint::add_float_tensor(const std::string& stem, std::string_view parameter,
                                    const Gathered& gathered) {
  std::vector<const SafetensorsTensor*> experts = all_experts(*files_, gathered, parameter);
  const SafetensorsTensor& first = *experts.front();
  const size_t n_dimensions = first.shape.size();
  if (n_dimensions == 0 || n_dimensions > 2 || std::ranges::find(first.shape, 0) != first.shape.end()) {
    throw ErrorException(
        files_->error_at(first, ErrorCode::kCorruptFile,
                         fmt::format("has shape [{}], which no weight has", fmt::join(first.shape, ", "))));
  }
  if (format_of_dtype(first.dtype) == nullptr) {
    unsupported_.push_back(unsupported(first));
    return;
  }
  add_source(fmt::format("{}.{}", stem, parameter), gathered,
             make_float_source(*files_, std::move(experts), gathered.is_stack()));
}

void HfCheckpoint::add_quantised_tensor(const std::string& name, const Gathered& gathered,
                                        const HfQuantisation& quantisation) {
  if (quantisation.method == HfQuantisation::Method::kCompressedTensors)
    return add_packed_tensor(name, gathered, quantisation);
  std::vector<QuantisedLinear> experts(gathered.experts.size());
  const auto fill = [&](std::string_view parameter, const SafetensorsTensor* QuantisedLinear::*member) {
    const auto tensors = all_experts(*files_, gathered, parameter);
    for (size_t i = 0; i < experts.size(); ++i) experts[i].*member = tensors[i];
  };
  fill("qweight", &QuantisedLinear::qweight);
  fill("qzeros", &QuantisedLinear::qzeros);
  fill("scales", &QuantisedLinear::scales);
  if (gathered.experts.begin()->second.contains("g_idx")) fill("g_idx", &QuantisedLinear::g_idx);
  add_source(name, gathered,
             make_quantised_source(*files_, quantisation, std::move(experts), gathered.is_stack()));
}

void HfCheckpoint::add_packed_tensor(const std::string& name, const Gathered& gathered,
                                     const HfQuantisation& quantisation) {
  std::vector<PackedLinear> experts(gathered.experts.size());
  const auto fill = [&](std::string_view parameter, const SafetensorsTensor* PackedLinear::*member) {
    const auto tensors = all_experts(*files_, gathered, parameter);
    for (size_t i = 0; i < experts.size(); ++i) experts[i].*member = tensors[i];
  };
  fill("weight_packed", &PackedLinear::codes);
  fill("weight_scale", &PackedLinear::scales);
  if (gathered.experts.begin()->second.contains("weight_zero_point"))
    fill("weight_zero_point", &PackedLinear::zeros);
  add_source(name, gathered,
             make_packed_source(*files_, quantisation, std::move(experts), gathered.is_stack()));
}

void HfCheckpoint::add_tensors(const JsonObject& config) {
  const std::optional<HfQuantisation> quantisation = find_quantisation(config, *files_, path_);
  const bool is_packed = quantisation && quantisation->method == HfQuantisation::Method::kCompressedTensors;
  const QuantisedParts& quantised = is_packed ? kPackedParts : kGptqParts;
  head_dim_ = head_dim_of(config);
  // Without the key, what is not there is shared.
  const bool has_output = std::ranges::any_of(files_->tensors(), [](const SafetensorsTensor& tensor) {
    return tensor.name.starts_with(kOutputModule);
  });
  const bool ties_output = config.boolean("tie_word_embeddings").value_or(!has_output);
  for (const auto& [stem, gathered] : gather(*files_, *family_, ties_output)) {
    const Parts& parts = gathered.experts.begin()->second;
    // What a quantised model keeps as it was has a weight.
    const bool is_quantised = quantisation && parts.contains(quantised.codes);
    if (is_quantised && parts.contains("weight")) {
      throw ErrorException(files_->error_at(*parts.find("weight")->second, ErrorCode::kCorruptFile,
                                            "is there both as it was and quantised"));
    }
    if (is_quantised) add_quantised_tensor(stem + ".weight", gathered, *quantisation);
    for (const auto& [parameter, tensor] : parts) {
      if (parameter == "weight" || parameter == "bias") {
        add_float_tensor(stem, parameter, gathered);
      } else if (!is_quantised ||
                 (parameter != quantised.codes &&
                  std::ranges::find(quantised.others, parameter) == quantised.others.end())) {
        throw ErrorException(
            files_->error_at(*tensor, ErrorCode::kUnsupported,
                             "belongs to a quantisation that the model's configuration does not name"));
      }
    }
  }
  if (family_->architecture == "llama") {
    std::vector<float> divisors = llama3_rope_divisors(config, head_dim_);
    if (!divisors.empty()) add_source("rope_freqs.weight", make_computed_source(std::move(divisors)));
  }
  if (!ties_output && find_tensor("output.weight") == nullptr && unsupported_.empty()) {
    config.fail_corrupt("tie_word_embeddings",
                        fmt::format("is false, but tensor '{}weight' is missing", kOutputModule));
  }
}

void HfCheckpoint::add_tensors_as_they_are() {
  for (const SafetensorsTensor& tensor : files_->tensors()) {
    const bool is_plain = !tensor.shape.empty() && tensor.size_bytes > 0 && tensor.shape.size() <= 3;
    if (is_plain && format_of_dtype(tensor.dtype) != nullptr) {
      add_source(tensor.name, make_float_source(*files_, {&tensor}, false));
    } else {
      unsupported_.push_back(unsupported(tensor));
    }
  }
}

std::string HfCheckpoint::name_in_files(std::string_view tensor_name) const {
  return family_ != nullptr ? hf_tensor_name(*family_, tensor_name) : std::string(tensor_name);
}

Result<TokenizerData> HfCheckpoint::tokenizer_data() const {
  const TensorInfo* embedding = find_tensor("token_embd.weight");
  return read_hf_tokenizer(path_, embedding != nullptr ? embedding->rows() : 0);
}

Result<> HfCheckpoint::read(const TensorInfo& tensor, uint64_t byte_offset, std::span<std::byte> out) const {
  HALOD_ASSERT(tensor.file_idx < sources_.size());
  HALOD_ASSERT(byte_offset <= tensor.size_bytes && out.size() <= tensor.size_bytes - byte_offset);
  return sources_[tensor.file_idx]->read(byte_offset, out);
}

void HfCheckpoint::prefetch(const TensorInfo& tensor, uint64_t byte_offset, uint64_t n_bytes) const {
  HALOD_ASSERT(tensor.file_idx < sources_.size());
  sources_[tensor.file_idx]->prefetch(byte_offset, n_bytes);
}

}  // namespace halod
