// The families that hf_families.cpp knows, each from its own file.
#pragma once

#include "runtime/weights/hf/hf_families.h"

namespace halod {

extern const HfFamily kGlm4MoeFamily;
extern const HfFamily kGptOssFamily;
extern const HfFamily kLlamaFamily, kMistralFamily, kMixtralFamily;
extern const HfFamily kMiniMaxM2Family;
extern const HfFamily kNemotronHMoeFamily, kNemotronHFamily;
extern const HfFamily kQwen2Family;
extern const HfFamily kQwen3Family, kQwen3MoeFamily;
extern const HfFamily kQwen3NextFamily, kQwen35MoeFamily, kQwen35MoeTextFamily;

}  // namespace halod
