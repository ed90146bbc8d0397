#include "runtime/weights/ggml_types.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "kernels/quant/formats.h"

namespace halod {
namespace {

struct NamedType {
  uint32_t ggml_type;
  const char* name;
};

// ggml.h, enum ggml_type, as of 2026; halod's own formats are in kernels/quant/formats.cpp.
constexpr NamedType kOtherTypes[] = {
    {4, "Q4_2"},      {5, "Q4_3"},      {9, "Q8_1"},        {15, "Q8_K"},       {24, "I8"},
    {25, "I16"},      {26, "I32"},      {27, "I64"},        {28, "F64"},        {31, "Q4_0_4_4"},
    {32, "Q4_0_4_8"}, {33, "Q4_0_8_8"}, {36, "IQ4_NL_4_4"}, {37, "IQ4_NL_4_8"}, {38, "IQ4_NL_8_8"},
    {40, "NVFP4"},    {41, "Q1_0"},
};

}  // namespace

std::string ggml_type_name(uint32_t ggml_type) {
  if (const FormatTraits* format = find_format_by_ggml_type(ggml_type)) return std::string(format->name);
  const auto row = std::find_if(std::begin(kOtherTypes), std::end(kOtherTypes),
                                [&](const NamedType& type) { return type.ggml_type == ggml_type; });
  if (row == std::end(kOtherTypes)) return fmt::format("type {}", ggml_type);
  return row->name;
}

std::string describe_ggml_type(uint32_t ggml_type) {
  const std::string name = ggml_type_name(ggml_type);
  return name.starts_with("type ") ? name : fmt::format("{} (type {})", name, ggml_type);
}

std::string supported_format_names() {
  std::string names;
  for (const FormatTraits& format : all_formats()) {
    if (format.ggml_type == kNoGgmlType) continue;
    if (!names.empty()) names += ", ";
    names += format.name;
  }
  return names;
}

}  // namespace halod
