// The numbers that GGUF files use for metadata value types.
#pragma once

#include <cstdint>

namespace halod {

/// Source: gguf.h, enum gguf_type.
enum class GgufValueType : uint32_t {
  kUint8,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kFloat32,
  kBool,
  kString,
  kArray,
  kUint64,
  kInt64,
  kFloat64
};

}  // namespace halod
