// The names of tensor types that a GGUF file may hold, known to halod or not, for messages.
#pragma once

#include <cstdint>
#include <string>

namespace halod {

/// "Q8_K", or "type 99" when the number is nobody's. Thread: any.
std::string ggml_type_name(uint32_t ggml_type);

/// "Q8_K (type 15)", or "type 99" when the number is nobody's. Thread: any.
std::string describe_ggml_type(uint32_t ggml_type);

/// "F32, F16, …": every format of kernels/quant/formats.h that GGUF files have.
std::string supported_format_names();

}  // namespace halod
