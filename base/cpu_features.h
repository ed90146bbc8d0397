// What this CPU can do, asked once, for run-time kernel dispatch.
#pragma once

#include <string>

namespace halod {

struct CpuFeatures {
  bool avx2_fma_f16c = false;  ///< AVX2, FMA and F16C together (x86-64-v3)
  bool avx512_vnni =
      false;  ///< AVX-512 F, BW, DQ, VL and VNNI together (Zen 4 and later, Ice Lake and later)
  bool avx512_bf16 = false;
  bool amx_int8 = false;  ///< that, AMX tiles with 8-bit integers, and Linux lets this process have them
  /// Its hardware prefetchers fall behind one token's stream of weights, which is then to be asked for ahead:
  /// Intel's, by a third; Zen's keep up, and asking slows them (docs/performance.md).
  bool needs_prefetch = false;
};

/// The CPU's features, less those that HALOD_CPU_ISA takes away (`scalar`, `avx2`, `avx512`; for tests and
/// bug hunting). Thread: any.
const CpuFeatures& cpu_features();
/// The model name from /proc/cpuinfo, for reports.
std::string cpu_model_name();

}  // namespace halod
