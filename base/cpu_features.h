// What this CPU can do, asked once, for run-time kernel dispatch.
#pragma once

#include <string>

namespace halod {

/// Who sees to it that weights, a stream that is read once, are there in time: what is fastest untuned, by
/// measurement (docs/performance.md).
enum class Prefetch {
  kByHardware,  ///< asking for one token's weights slows it: Zen 4 and earlier
  kNear,        ///< by itself it reads unpacked codes half as fast as it can; asked for little ahead: Zen 5
  kTwoStreams,  ///< asked for a tile ahead, and two tiles at once are faster than one: Intel
};

struct CpuFeatures {
  bool avx2_fma_f16c = false;  ///< AVX2, FMA and F16C together (x86-64-v3)
  bool avx512_vnni =
      false;  ///< AVX-512 F, BW, DQ, VL and VNNI together (Zen 4 and later, Ice Lake and later)
  bool avx512_bf16 = false;
  bool amx_int8 = false;  ///< that, AMX tiles with 8-bit integers, and Linux lets this process have them
  Prefetch prefetch = Prefetch::kByHardware;
};

/// The CPU's features, less those that HALOD_CPU_ISA takes away (`scalar`, `avx2`, `avx512`; for tests and
/// bug hunting). Thread: any.
const CpuFeatures& cpu_features();
/// The model name from /proc/cpuinfo, for reports.
std::string cpu_model_name();

}  // namespace halod
