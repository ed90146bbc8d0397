// The text of a tuning file, in the grammar of PyTorch's TunableOp:
//
//   Validator,CPU_MODEL,AMD RYZEN AI MAX+ 395
//   Matmul_Q4_K,cols_2048_rows_4096_tokens_1_threads_16,avx512_vnni_tiles16_ahead2,0.0712
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/backend/tuning/tuning_key.h"

namespace halod {

/// What must be the same for a result to mean anything: name and value.
struct Validator {
  std::string name, value;

  friend bool operator==(const Validator&, const Validator&) = default;
};
using Validators = std::vector<Validator>;

struct TuningResult {
  std::string solution;  ///< a row of the variant table
  double time_ms = 0;

  friend bool operator==(const TuningResult&, const TuningResult&) = default;
};
using TuningResults = std::map<TuningKey, TuningResult>;

struct TuningText {
  Validators validators;
  TuningResults results;
  int n_skipped = 0;          ///< damaged lines
  std::string first_problem;  ///< "line 7: …"; empty: none
};

/// Takes whatever there is: a damaged line is skipped and counted. The last of two results for one key
/// counts.
TuningText parse_tuning(std::string_view text);
std::string format_tuning(const Validators& validators, const TuningResults& results);

/// "CPU_MODEL is 'A' there and 'B' here", the first that differs; empty: none does.
std::string first_difference(const Validators& there, const Validators& here);

}  // namespace halod
