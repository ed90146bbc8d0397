// What a machine could do at best, from counting bytes, operations and launches: no measurement, no device.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace halod {

/// The numbers of a machine that the predictions rest on.
struct PaperMachine {
  double bytes_per_s = 216e9;  ///< that kernels read: Strix Halo's GPU was measured at 212 to 221 GB/s
  double flops_per_s =
      30e12;  ///< that matrix kernels reach: 30 to 37 of 59.4 TFLOP/s in WMMA, f16 and int8 alike
  double launch_s = 3e-6;  ///< between two kernels of one stream; an assumption, to be measured
};

/// Weights that are read together with a token.
struct WeightGroup {
  std::string_view what;
  double n_params;         ///< in the whole model
  double n_active_params;  ///< of them that one token reads
  double bits;             ///< per weight, scales included
};

/// Layers whose cost grows with depth.
struct AttentionGroup {
  int64_t n_layers;
  int64_t n_heads;
  int64_t n_kv_heads;
  int64_t head_dim;
  int64_t window = 0;  ///< keys that a query sees at most; 0 = all
};

/// A model on paper, as published in a certain quantisation.
struct PaperModel {
  std::string_view name;
  std::string_view title;
  std::vector<WeightGroup> weights;
  std::vector<AttentionGroup> attention;
  double state_bytes = 0;  ///< recurrent state of one sequence: read and written with each token
  int64_t n_layers = 0;
  int64_t n_layer_launches = 0;  ///< of all layers, where these are single blocks; 0: as given for each
  /// The best decode figure that others have published for Strix Halo, tok/s; 0 = none. Source:
  /// docs/performance-gfx1151.md.
  double published_tok_per_s = 0;
};

/// The models of docs/performance-gfx1151.md. Thread: any.
std::span<const PaperModel> paper_models();
/// nullptr when there is none of that name.
const PaperModel* find_paper_model(std::string_view name);

struct DecodePrediction {
  double weight_bytes = 0;  ///< read for one token
  double kv_bytes = 0;      ///< f16 keys and values, and recurrent state
  double launch_s = 0;
  double tok_per_s = 0;
};
/// One sequence, `depth` tokens in its cache, `launches_per_layer` kernels in each layer (unless the model
/// says how many all have) and four around them.
DecodePrediction predict_decode(const PaperModel& model, const PaperMachine& machine, int64_t depth,
                                double launches_per_layer);

struct PrefillPrediction {
  double flops = 0;
  double bytes = 0;  ///< weights, each once: with hundreds of tokens every expert has work
  double tok_per_s = 0;
};
/// A prompt of `n_tokens` in one batch: the slower of arithmetic and reading.
PrefillPrediction predict_prefill(const PaperModel& model, const PaperMachine& machine, int64_t n_tokens,
                                  double launches_per_layer);

}  // namespace halod
