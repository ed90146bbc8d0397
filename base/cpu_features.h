// What this CPU can do, asked once, for run-time kernel dispatch.
#pragma once

#include <string>

namespace halod {

/// Cores that differ in how they read a stream of weights fastest (docs/performance.md has the figures).
enum class Microarchitecture {
  kOther,  ///< one token's weights come in time by themselves, and asking for them ahead slows that: as
           ///< measured on Zen 4
  kZen5,   ///< reads half of what it can where codes are unpacked, and all of it when asked 8 KiB ahead
  kIntel,  ///< reads a third less than it can, unless asked a tile ahead, of two tiles side by side
};

struct CpuFeatures {
  bool avx2_fma_f16c = false;  ///< AVX2, FMA and F16C together (x86-64-v3)
  bool avx512_vnni =
      false;  ///< AVX-512 F, BW, DQ, VL and VNNI together (Zen 4 and later, Ice Lake and later)
  bool avx512_bf16 = false;
  bool amx_int8 = false;  ///< that, AMX tiles with 8-bit integers, and Linux lets this process have them
  Microarchitecture microarchitecture = Microarchitecture::kOther;
};

/// The CPU's features, less those that HALOD_CPU_ISA takes away (`scalar`, `avx2`, `avx512`; for tests and
/// bug hunting). Thread: any.
const CpuFeatures& cpu_features();
/// The model name from /proc/cpuinfo, for reports.
std::string cpu_model_name();

}  // namespace halod
