// What a check of haloctl doctor says.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace halod::cli {

enum class Verdict : uint8_t {
  kOk,
  kWarn,     ///< works, but slower or less safely than it could
  kFail,     ///< halod will not work well here
  kSkipped,  ///< does not apply, or could not be looked at
};
std::string_view to_string(Verdict verdict);  ///< "ok", "warn", "fail", "skipped"

struct Finding {
  Verdict verdict = Verdict::kSkipped;
  std::string evidence;  ///< what was seen, with numbers; no full stop
  std::string remedy;    ///< what to do, as commands where there are some; empty when nothing need be done
};

inline Finding ok(std::string evidence) { return {Verdict::kOk, std::move(evidence), ""}; }
inline Finding skipped(std::string why) { return {Verdict::kSkipped, std::move(why), ""}; }
inline Finding warn(std::string evidence, std::string remedy) {
  return {Verdict::kWarn, std::move(evidence), std::move(remedy)};
}
inline Finding fail(std::string evidence, std::string remedy) {
  return {Verdict::kFail, std::move(evidence), std::move(remedy)};
}

}  // namespace halod::cli
