// One safetensors file's header: its tensor table (docs/formats/safetensors.md has the byte layout).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "runtime/weights/open_file.h"

namespace halod {

/// Where one tensor lies. Shape is outermost first, elements are contiguous.
struct SafetensorsTensor {
  std::string name;   ///< "model.layers.0.self_attn.q_proj.weight"
  std::string dtype;  ///< "BF16"
  std::vector<int64_t> shape;
  uint32_t file_idx = 0;
  uint64_t offset = 0;  ///< from the start of that file
  uint64_t size_bytes = 0;
};

/// Bytes of one element, or 0 for a dtype that halod does not know.
int64_t dtype_bytes(std::string_view dtype);

/// The tensors in the order of their data. Checks the header's length against the file before allocating, the
/// JSON (names unique, no keys but the format's), shapes (products that overflow), sizes and offsets (inside
/// the file, not overlapping). `file_idx` goes into every tensor. Memory: a few times the header's bytes.
/// Errors: kCorruptFile naming file and tensor; kIo. Thread: any.
Result<std::vector<SafetensorsTensor>> parse_safetensors(const OpenFile& file, uint32_t file_idx);

}  // namespace halod
