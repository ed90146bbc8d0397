#include "runtime/weights/hf/hf_tensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>
#include <utility>

#include "runtime/weights/gguf_reader.h"
#include "runtime/weights/hf/derived_source.h"
#include "runtime/weights/hf/fp8_source.h"
#include "runtime/weights/hf/mxfp4_source.h"
#include "runtime/weights/hf/packed_source.h"
#include "runtime/weights/hf/quantised_source.h"

namespace halod {
namespace {

using Method = HfQuantisation::Method;
using SourcePtr = std::unique_ptr<const TensorSource>;

/// Everything that the files hold of one of halod's tensors: by expert, by parameter ("weight", "qweight").
using Parts = std::map<std::string, const SafetensorsTensor*, std::less<>>;
struct Gathered {
  std::map<int64_t, Parts> experts;  // of a tensor without experts: one, at -1
  HfForm form = HfForm::kAsItIs;
  bool is_stack() const { return experts.begin()->first >= 0; }
  const Parts& first() const { return experts.begin()->second; }
};

/// The parameter that a quantised layer has instead of its weight, or as one, and the others that go with it.
struct QuantisedParts {
  Method method;
  std::string_view codes;
  std::array<std::string_view, 3> others;
};
constexpr QuantisedParts kQuantisedParts[] = {
    {Method::kGptq, "qweight", {"qzeros", "scales", "g_idx"}},
    {Method::kAwq, "qweight", {"qzeros", "scales", "g_idx"}},
    {Method::kCompressedTensors, "weight_packed", {"weight_scale", "weight_zero_point", "weight_shape"}},
    {Method::kFp8, "weight", {"weight_scale_inv", "weight_scale", "weight_scale"}},
    {Method::kMxfp4, "blocks", {"scales", "scales", "scales"}},
};

[[noreturn]] void fail_at(const SafetensorsFiles& files, const SafetensorsTensor& tensor, ErrorCode code,
                          std::string_view problem) {
  throw ErrorException(files.error_at(tensor, code, problem));
}

/// The tensors of the files by halod's stem.
std::map<std::string, Gathered> gather(const SafetensorsFiles& files, const HfFamily& family,
                                       bool ties_output) {
  std::map<std::string, Gathered> gathered;
  for (const SafetensorsTensor& tensor : files.tensors()) {
    if (is_ignored_hf_tensor(family, tensor.name)) continue;
    const auto names = parse_hf_tensor_name(family, tensor.name);
    if (names.empty()) {
      fail_at(
          files, tensor, ErrorCode::kUnsupported,
          fmt::format("is none that model type '{}' has in this build; leaving it out would change the model",
                      family.model_type));
    }
    for (const HfTensorName& name : names) {
      if (ties_output && name.gguf_stem == "output") continue;
      Gathered& module = gathered[name.gguf_stem];
      module.form = name.form;
      module.experts[name.expert_idx.value_or(-1)].emplace(name.parameter, &tensor);
    }
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
      fail_at(files, part == parts.end() ? *parts.begin()->second : *part->second, ErrorCode::kCorruptFile,
              part == parts.end() ? fmt::format("is there, but not its module's '{}'", parameter)
                                  : fmt::format("is there, but not that of expert {}", expected));
    }
    const SafetensorsTensor& tensor = *part->second;
    if (!experts.empty() &&
        (tensor.shape != experts.front()->shape || tensor.dtype != experts.front()->dtype)) {
      fail_at(files, tensor, ErrorCode::kCorruptFile,
              fmt::format("is {} [{}], but '{}' is {} [{}]", tensor.dtype, fmt::join(tensor.shape, ", "),
                          printable(experts.front()->name), experts.front()->dtype,
                          fmt::join(experts.front()->shape, ", ")));
    }
    experts.push_back(&tensor);
  }
  return experts;
}

class TensorMaker {
 public:
  TensorMaker(const SafetensorsFiles& files, const HfFamily& family, const Metadata& metadata,
              const std::optional<HfQuantisation>& quantisation)
      : files_(files), family_(family), metadata_(metadata), quantisation_(quantisation) {
    if (!quantisation) return;
    for (const QuantisedParts& row : kQuantisedParts) {
      if (row.method == quantisation->method) quantised_ = &row;
    }
  }

  HfTensors make(bool ties_output) {
    for (const auto& [stem, gathered] : gather(files_, family_, ties_output)) add(stem, gathered);
    return std::move(made_);
  }

 private:
  /// What a quantised model keeps as it was has a weight of floats.
  bool is_quantised(const Gathered& gathered) const {
    if (quantised_ == nullptr) return false;
    const auto codes = gathered.first().find(quantised_->codes);
    if (codes == gathered.first().end()) return false;
    return quantised_->method != Method::kFp8 || codes->second->dtype == kFp8Dtype;
  }

  void add(const std::string& stem, const Gathered& gathered) {
    const Parts& parts = gathered.first();
    const bool quantised = is_quantised(gathered);
    const auto weight = parts.find("weight");
    if (quantised && weight != parts.end() && quantised_->codes != "weight")
      fail_at(files_, *weight->second, ErrorCode::kCorruptFile, "is there both as it was and quantised");
    if (quantised) add_quantised(stem + ".weight", gathered);
    for (const auto& [parameter, tensor] : parts) {
      if (quantised && (parameter == quantised_->codes ||
                        std::ranges::find(quantised_->others, parameter) != quantised_->others.end()))
        continue;
      if (parameter != "weight" && parameter != "bias" && !parameter.empty()) {
        fail_at(files_, *tensor, ErrorCode::kUnsupported,
                "belongs to a quantisation that the model's configuration does not name");
      }
      add_floats(parameter.empty() ? stem : fmt::format("{}.{}", stem, parameter), parameter, gathered);
    }
  }

  void add_floats(const std::string& name, std::string_view parameter, const Gathered& gathered) {
    std::vector<const SafetensorsTensor*> experts = all_experts(files_, gathered, parameter);
    const SafetensorsTensor& first = *experts.front();
    // A stack of experts may be one tensor; convolutions have an extent for what they do not mix.
    const size_t max_dimensions = parameter.empty() || gathered.form == HfForm::kFlat ? 3 : 2;
    if (first.shape.empty() || first.shape.size() > max_dimensions ||
        std::ranges::find(first.shape, 0) != first.shape.end()) {
      fail_at(files_, first, ErrorCode::kCorruptFile,
              fmt::format("has shape [{}], which no weight has", fmt::join(first.shape, ", ")));
    }
    if (format_of_dtype(first.dtype) == nullptr) {
      made_.unsupported.push_back(unsupported_tensor(first));
      return;
    }
    put(name, in_form(make_float_source(files_, std::move(experts), gathered.is_stack()), gathered.form,
                      first, parameter == "bias"));
  }

  template <class Linear>
  std::vector<Linear> linears(
      const Gathered& gathered,
      std::initializer_list<std::pair<std::string_view, const SafetensorsTensor * Linear::*>> required,
      std::initializer_list<std::pair<std::string_view, const SafetensorsTensor * Linear::*>> optional)
      const {
    std::vector<Linear> experts(gathered.experts.size());
    const auto fill = [&](std::string_view parameter, const SafetensorsTensor* Linear::*member) {
      const auto tensors = all_experts(files_, gathered, parameter);
      for (size_t i = 0; i < experts.size(); ++i) experts[i].*member = tensors[i];
    };
    for (const auto& [parameter, member] : required) fill(parameter, member);
    for (const auto& [parameter, member] : optional) {
      if (gathered.first().contains(parameter)) fill(parameter, member);
    }
    return experts;
  }

  SourcePtr quantised_source(const Gathered& gathered) const {
    const bool is_stack = gathered.is_stack();
    switch (quantisation_->method) {
      case Method::kCompressedTensors:
        return make_packed_source(
            files_, *quantisation_,
            linears<PackedLinear>(
                gathered, {{"weight_packed", &PackedLinear::codes}, {"weight_scale", &PackedLinear::scales}},
                {{"weight_zero_point", &PackedLinear::zeros}}),
            is_stack);
      case Method::kFp8: {
        const std::string_view scale =
            gathered.first().contains("weight_scale") ? "weight_scale" : "weight_scale_inv";
        return make_fp8_source(
            files_, *quantisation_,
            linears<Fp8Linear>(gathered, {{"weight", &Fp8Linear::codes}, {scale, &Fp8Linear::scales}}, {}),
            is_stack);
      }
      case Method::kMxfp4:
        return make_mxfp4_source(files_, *all_experts(files_, gathered, "blocks").front(),
                                 *all_experts(files_, gathered, "scales").front());
      case Method::kGptq:
      case Method::kAwq:
        break;
    }
    return make_quantised_source(files_, *quantisation_,
                                 linears<QuantisedLinear>(gathered,
                                                          {{"qweight", &QuantisedLinear::qweight},
                                                           {"qzeros", &QuantisedLinear::qzeros},
                                                           {"scales", &QuantisedLinear::scales}},
                                                          {{"g_idx", &QuantisedLinear::g_idx}}),
                                 is_stack);
  }

  void add_quantised(const std::string& name, const Gathered& gathered) {
    const SafetensorsTensor& codes = *gathered.first().find(quantised_->codes)->second;
    put(name, in_form(quantised_source(gathered), gathered.form, codes, false));
  }

  void put(const std::string& name, SourcePtr source) { made_.tensors.push_back({name, std::move(source)}); }

  int64_t size(const char* suffix) const {
    return metadata_.integer_or(fmt::format("{}.{}", family_.architecture, suffix), 0).value();
  }

  SourcePtr in_form(SourcePtr source, HfForm form, const SafetensorsTensor& tensor, bool is_bias) const {
    switch (form) {
      case HfForm::kAsItIs:
        return source;
      case HfForm::kNeighbourPairs:
        return in_pairs(std::move(source), tensor);
      case HfForm::kFlat:
        return make_flat(std::move(source));
      case HfForm::kPlusOne:
        require_floats(*source, tensor);
        return make_changed_values(std::move(source), [](float x) { return x + 1; });
      case HfForm::kNegatedExp:
        require_floats(*source, tensor);
        return make_changed_values(std::move(source), [](float x) { return -std::exp(x); });
      case HfForm::kQueriesKeysValues:
      case HfForm::kGates:
        return of_key_heads(std::move(source), form == HfForm::kGates, tensor);
      case HfForm::kEvenRows:
      case HfForm::kOddRows:
        return every_other(std::move(source), form == HfForm::kOddRows, tensor, is_bias);
    }
    return source;
  }

  void require_floats(const TensorSource& source, const SafetensorsTensor& tensor) const {
    if (traits(source.format()).block_elements != 1)
      fail_at(files_, tensor, ErrorCode::kUnsupported, "is quantised, where only floats are supported");
  }

  SourcePtr in_pairs(SourcePtr source, const SafetensorsTensor& tensor) const {
    const int64_t rows = source->shape().front();
    constexpr int64_t kMaxHeadDim = 1 << 16;
    int64_t head_dim = size("attention.key_length");
    if (head_dim == 0)
      head_dim = size("embedding_length") / std::max<int64_t>(1, size("attention.head_count"));
    if (head_dim < 2 || head_dim > kMaxHeadDim || head_dim % 2 != 0 || rows % head_dim != 0) {
      fail_at(files_, tensor, ErrorCode::kCorruptFile,
              fmt::format("has {} rows, which heads of {} do not divide", rows, head_dim));
    }
    return make_neighbour_pairs(std::move(source), head_dim);
  }

  /// Rows go by key head: its q, its k, then v and z of each of its value heads.
  SourcePtr of_key_heads(SourcePtr source, bool gates, const SafetensorsTensor& tensor) const {
    const int64_t dim = size("ssm.state_size"), n_keys = size("ssm.group_count"),
                  n_values = size("ssm.time_step_rank");
    const int64_t rows = source->shape().size() == 2 ? source->shape().front() : 0;
    constexpr int64_t kMax = 1 << 20;
    if (dim < 1 || n_keys < 1 || n_values < 1 || dim > kMax || n_keys > kMax || n_values > kMax ||
        n_values % n_keys != 0 || rows != 2 * dim * (n_keys + n_values)) {
      fail_at(files_, tensor, ErrorCode::kCorruptFile,
              fmt::format("has shape [{}], wanted 2 * {} * ({} + {}) rows", fmt::join(source->shape(), ", "),
                          dim, n_keys, n_values));
    }
    const int64_t values = n_values / n_keys * dim, of_key_head = 2 * dim + 2 * values;
    std::vector<int64_t> chosen;
    const auto take = [&](int64_t from, int64_t n) {
      for (int64_t head = 0; head < n_keys; ++head) {
        for (int64_t i = 0; i < n; ++i) chosen.push_back(head * of_key_head + from + i);
      }
    };
    if (gates) {
      take(2 * dim + values, values);
    } else {
      take(0, dim);
      take(dim, dim);
      take(2 * dim, values);
    }
    return make_chosen_rows(std::move(source), std::move(chosen));
  }

  SourcePtr every_other(SourcePtr source, bool odd, const SafetensorsTensor& tensor, bool is_bias) const {
    const std::vector<int64_t>& shape = source->shape();
    const int64_t rows = is_bias ? shape.back() : shape.size() == 3 ? shape[1] : 1;
    if (rows % 2 != 0 || shape.size() != (is_bias ? 2U : 3U)) {
      fail_at(files_, tensor, ErrorCode::kCorruptFile,
              fmt::format("has shape [{}], where rows of gate and up are wanted in turns",
                          fmt::join(shape, ", ")));
    }
    std::vector<int64_t> chosen(static_cast<size_t>(rows / 2));
    for (size_t i = 0; i < chosen.size(); ++i) chosen[i] = static_cast<int64_t>(2 * i) + (odd ? 1 : 0);
    return is_bias ? make_chosen_values(std::move(source), std::move(chosen))
                   : make_chosen_rows(std::move(source), std::move(chosen));
  }

  const SafetensorsFiles& files_;
  const HfFamily& family_;
  const Metadata& metadata_;
  const std::optional<HfQuantisation>& quantisation_;
  const QuantisedParts* quantised_ = nullptr;
  HfTensors made_;
};

}  // namespace

HfTensors make_hf_tensors(const SafetensorsFiles& files, const HfFamily& family, const Metadata& metadata,
                          const std::optional<HfQuantisation>& quantisation, bool ties_output) {
  return TensorMaker(files, family, metadata, quantisation).make(ties_output);
}

UnsupportedTensor unsupported_tensor(const SafetensorsTensor& tensor) {
  return {.name = tensor.name,
          .format = tensor.dtype,
          .format_in_file = tensor.dtype,
          .shape = tensor.shape,
          .file_idx = tensor.file_idx,
          .offset = tensor.offset,
          .size_bytes = tensor.size_bytes};
}

}  // namespace halod
