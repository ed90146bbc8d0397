// One GGUF file's header: metadata and tensor table (docs/formats/gguf.md has the byte layout).
#pragma once

#include <cstdint>
#include <vector>

#include "base/error.h"
#include "runtime/weights/gguf_file.h"
#include "runtime/weights/open_file.h"

namespace halod {

struct GgufPart {
  Metadata metadata;
  std::vector<TensorInfo> tensors;             ///< in the file's order; offsets from the start of the file
  std::vector<UnsupportedTensor> unsupported;  ///< those that have no Format; likewise
};

/// Parses and checks everything that GgufFile::open promises for one part. `file_idx` goes into every
/// TensorInfo. Memory: at most about ten times the header's bytes, however large its counts are. Errors: as
/// GgufFile::open.
Result<GgufPart> parse_gguf(const OpenFile& file, uint32_t file_idx);

}  // namespace halod
