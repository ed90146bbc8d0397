#include "cli/control_client.h"

namespace halod::cli {

ExitStatus exit_status_of_refusal(ErrorCode code) {
  switch (code) {
    case ErrorCode::kOutOfMemory:
    case ErrorCode::kUnavailable:
    case ErrorCode::kCancelled:
      return kNotReady;
    default:
      return kRefused;
  }
}

Failure failure_of(const Error& error) {
  return {error.code == ErrorCode::kInvalidArgument ? kUsage : kUnreachable, error.message};
}

}  // namespace halod::cli
