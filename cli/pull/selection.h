// Which files of a repository make up the model that was asked for.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace halod::cli {

/// A file of a repository, as the hub lists it.
struct HubFile {
  std::string path;  ///< below the repository, with slashes
  uint64_t bytes = 0;
  std::string sha256;    ///< of large files; else empty
  std::string git_sha1;  ///< of every file: git's object id, unless it is a large one
};

/// Files that are a model together: a GGUF file, all parts of a split one, or a checkpoint's folder.
struct ModelFiles {
  std::string name;  ///< "Q4_K_M/Qwen3-30B-A3B-Q4_K_M.gguf": without the number of its part; "safetensors"
  std::vector<HubFile> files;  ///< in the order of their parts

  uint64_t bytes() const;
};

/// The GGUF models of a repository by their names, then, where there is one, its safetensors checkpoint with
/// configuration and tokenizer. What is no language model (mmproj-*, imatrix*) is left out. Thread: any.
std::vector<ModelFiles> models_among(const std::vector<HubFile>& files);

/// The one that `selection` names: a file, or the end of a GGUF model's name, whatever the case ("q4_k_m").
/// An empty one takes the only model, else Q4_K_M, else the checkpoint. Errors: kNotFound with all that there
/// are; kInvalidArgument where several are meant. Thread: any.
Result<ModelFiles> choose_model(const std::vector<HubFile>& files, std::string_view selection,
                                std::string_view repository);

}  // namespace halod::cli
