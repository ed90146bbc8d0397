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
    {3, "Q4_1"},      {4, "Q4_2"},      {5, "Q4_3"},   {6, "Q5_0"},     {7, "Q5_1"},    {9, "Q8_1"},
    {10, "Q2_K"},     {11, "Q3_K"},     {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"},
    {19, "IQ1_S"},    {20, "IQ4_NL"},   {21, "IQ3_S"}, {22, "IQ2_S"},   {23, "IQ4_XS"}, {24, "I8"},
    {25, "I16"},      {26, "I32"},      {27, "I64"},   {28, "F64"},     {29, "IQ1_M"},  {31, "Q4_0_4_4"},
    {32, "Q4_0_4_8"}, {33, "Q4_0_8_8"}, {34, "TQ1_0"}, {35, "TQ2_0"},   {39, "MXFP4"},
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
    if (!names.empty()) names += ", ";
    names += format.name;
  }
  return names;
}

}  // namespace halod
