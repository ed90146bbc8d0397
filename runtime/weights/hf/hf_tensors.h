// GGUF's tensors out of the files of a Hugging Face folder.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/weights/hf/hf_families.h"
#include "runtime/weights/hf/json_file.h"
#include "runtime/weights/hf/quantisation.h"
#include "runtime/weights/hf/safetensors_files.h"
#include "runtime/weights/hf/tensor_source.h"
#include "runtime/weights/metadata.h"

namespace halod {

struct HfTensors {
  struct Tensor {
    std::string name;  ///< GGUF's
    std::unique_ptr<const TensorSource> source;
  };
  std::vector<Tensor> tensors;  ///< in the order of their names
  std::vector<UnsupportedTensor> unsupported;
};

/// What a family reads, of whole models. `metadata` is translate_hf_config()'s; `files` outlives the result.
/// With `ties_output` the embedding serves as the output, whether the files have one or not. Throws
/// ErrorException: kCorruptFile, kUnsupported naming the tensor.
HfTensors make_hf_tensors(const SafetensorsFiles& files, const HfFamily& family, const Metadata& metadata,
                          const std::optional<HfQuantisation>& quantisation, bool ties_output);

/// As the files say what halod does not take.
UnsupportedTensor unsupported_tensor(const SafetensorsTensor& tensor);

}  // namespace halod
