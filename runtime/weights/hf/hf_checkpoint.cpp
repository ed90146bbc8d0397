#include "runtime/weights/hf/hf_checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "runtime/weights/gguf_reader.h"
#include "runtime/weights/hf/hf_config.h"
#include "runtime/weights/hf/hf_tensors.h"
#include "runtime/weights/hf/hf_tokenizer.h"

namespace halod {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kConfigName = "config.json";
constexpr std::string_view kOutputModule = "lm_head.";

std::string name_of(const fs::path& folder) {
  std::error_code ignored;
  const fs::path path = fs::absolute(folder, ignored).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

/// In config.json, or as older GPTQ checkpoints have it in a file of its own.
std::optional<HfQuantisation> find_quantisation(const JsonObject& config, const JsonObject& text,
                                                const SafetensorsFiles& files, const fs::path& folder) {
  for (const JsonObject* place : {&config, &text}) {
    if (const auto quantisation = place->object("quantization_config"))
      return read_quantisation(*quantisation);
  }
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
    model.family_ = find_hf_family(model_type, text_config(config));
    if (model.family_ == nullptr) {
      model.metadata_ = Metadata(std::string(kConfigName));
      model.metadata_.insert("general.architecture", printable(model_type));
      model.metadata_.insert("general.name", name_of(folder));
      model.metadata_.set_name_in_file("general.architecture", "model_type");
      model.add_tensors_as_they_are();
    } else {
      model.metadata_ = translate_hf_config(text_config(config), *model.family_, name_of(folder));
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
  tensor.expanded_from = source->expanded_from();
  tensor.has_column_order = source->has_column_order();
  tensor.size_bytes = static_cast<uint64_t>(tensor.rows() * traits(tensor.format).row_bytes(tensor.cols()));
  sources_.push_back(std::move(source));
  const bool is_new = add_tensor(std::move(tensor));
  HALOD_ASSERT(is_new);
}

void HfCheckpoint::add_tensors(const JsonObject& config) {
  const JsonObject text = text_config(config);
  const std::optional<HfQuantisation> quantisation = find_quantisation(config, text, *files_, path_);
  // Without the key, what is not there is shared.
  const bool has_output = std::ranges::any_of(files_->tensors(), [](const SafetensorsTensor& tensor) {
    return tensor.name.starts_with(kOutputModule);
  });
  const JsonObject& says_ties = config.contains("tie_word_embeddings") ? config : text;
  const bool ties_output = says_ties.boolean("tie_word_embeddings").value_or(!has_output);
  HfTensors made = make_hf_tensors(*files_, *family_, metadata_, quantisation, ties_output);
  for (HfTensors::Tensor& tensor : made.tensors) add_source(tensor.name, std::move(tensor.source));
  unsupported_ = std::move(made.unsupported);
  if (family_->architecture == "llama") {
    const int64_t head_dim = head_dim_of(text);
    std::vector<float> divisors = llama3_rope_divisors(text, *family_, head_dim);
    if (!divisors.empty()) add_source("rope_freqs.weight", make_computed_source(std::move(divisors)));
  }
  if (!ties_output && find_tensor("output.weight") == nullptr && unsupported_.empty()) {
    says_ties.fail_corrupt("tie_word_embeddings",
                           fmt::format("is false, but tensor '{}weight' is missing", kOutputModule));
  }
}

void HfCheckpoint::add_tensors_as_they_are() {
  for (const SafetensorsTensor& tensor : files_->tensors()) {
    const bool is_plain = !tensor.shape.empty() && tensor.size_bytes > 0 && tensor.shape.size() <= 3;
    if (is_plain && format_of_dtype(tensor.dtype) != nullptr) {
      add_source(tensor.name, make_float_source(*files_, {&tensor}, false));
    } else {
      unsupported_.push_back(unsupported_tensor(tensor));
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

Result<std::vector<int32_t>> HfCheckpoint::column_order(const TensorInfo& tensor) const {
  HALOD_ASSERT(tensor.file_idx < sources_.size());
  return sources_[tensor.file_idx]->column_order();
}

void HfCheckpoint::prefetch(const TensorInfo& tensor, uint64_t byte_offset, uint64_t n_bytes) const {
  HALOD_ASSERT(tensor.file_idx < sources_.size());
  sources_[tensor.file_idx]->prefetch(byte_offset, n_bytes);
}

}  // namespace halod
