#include "base/error.h"

#include <cstdio>
#include <cstdlib>

namespace halod {

std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return "invalid_argument";
    case ErrorCode::kNotFound:
      return "not_found";
    case ErrorCode::kCorruptFile:
      return "corrupt_file";
    case ErrorCode::kUnsupported:
      return "unsupported";
    case ErrorCode::kContextOverflow:
      return "context_overflow";
    case ErrorCode::kQueueFull:
      return "queue_full";
    case ErrorCode::kOutOfMemory:
      return "out_of_memory";
    case ErrorCode::kUnavailable:
      return "unavailable";
    case ErrorCode::kCancelled:
      return "cancelled";
    case ErrorCode::kIo:
      return "io";
    case ErrorCode::kInternal:
      return "internal";
  }
  return "internal";
}

ErrorCode error_code_from(std::string_view name) {
  for (int code = 0; code < static_cast<int>(ErrorCode::kInternal); ++code) {
    if (to_string(static_cast<ErrorCode>(code)) == name) return static_cast<ErrorCode>(code);
  }
  return ErrorCode::kInternal;
}

void throw_exception_from_error(const Error& error, const boost::source_location&) {
  throw ErrorException(error);
}

void assertion_failed(const char* expression, const char* file, int line) {
  // stderr and not the logger: the logger itself may be what is broken.
  std::fprintf(stderr, "halod: assertion failed: %s (%s:%d)\n", expression, file, line);
  std::abort();
}

}  // namespace halod
