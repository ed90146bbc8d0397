// What every kernel table has in common.
//
// A kernel variant is a row of data. The reference implementation is one of the rows: tests run every row
// against it, halo-bench times every row, the backend takes the first row that supports the arguments
// (reference rows come last; `exact` takes only them).
#pragma once

#include <string_view>

#include "base/cpu_features.h"

namespace halod {

enum class Isa { kReference, kBaseline, kAvx2, kAvx512Vnni, kAmx };

/// Whether this CPU can run kernels compiled for `isa`.
inline bool runs_on(Isa isa, const CpuFeatures& cpu) {
  switch (isa) {
    case Isa::kReference:
    case Isa::kBaseline:
      return true;
    case Isa::kAvx2:
      return cpu.avx2_fma_f16c;
    case Isa::kAvx512Vnni:
      return cpu.avx512_vnni;
    case Isa::kAmx:
      return cpu.amx_int8;
  }
  return false;
}

/// A row for operations that need no more than "which instruction set".
template <class Args>
struct KernelVariant {
  std::string_view name;
  Isa isa;
  void (*run)(const Args& args);
};

}  // namespace halod
