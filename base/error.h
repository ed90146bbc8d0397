// What every fallible function of halod returns: a value, or a code with a sentence that a user can act on.
#pragma once

#include <boost/system/result.hpp>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace halod {

/// One code per way a caller can be answered. The tables that map it to HTTP statuses and D-Bus names live
/// with those protocols (daemon/http/error_response.cpp).
enum class ErrorCode : uint8_t {
  kInvalidArgument,  ///< the caller's request is wrong: field and remedy are in the message
  kNotFound,         ///< no such model, file, route
  kCorruptFile,      ///< a model file that contradicts itself
  kUnsupported,      ///< well-formed, but not something this build can run
  kContextOverflow,  ///< prompt and answer do not fit the model's context
  kQueueFull,        ///< too many requests; retry later
  kOutOfMemory,      ///< would not fit; the message states needed and available bytes
  kUnavailable,      ///< starting, loading or restarting; retry later
  kCancelled,        ///< the client went away or asked for it
  kIo,               ///< the operating system said no
  kInternal,         ///< a bug of ours
};

/// Stable snake_case name, used in logs, JSON and the wire protocol. Thread: any.
std::string_view to_string(ErrorCode code);
/// The code of that name; kInternal for a name that is none. Thread: any.
ErrorCode error_code_from(std::string_view name);

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;        ///< names the thing, the place, both numbers and the remedy
  std::string field = {};     ///< request field, key of metadata or configuration, or file at fault; may be empty
  uint64_t needed_bytes = 0;  ///< kOutOfMemory, where it is known: of everything, and what there is for it
  uint64_t available_bytes = 0;

  friend bool operator==(const Error&, const Error&) = default;
};

/// An Error on its way through code that cannot return one (constructors, main).
class ErrorException : public std::runtime_error {
 public:
  explicit ErrorException(Error error) : std::runtime_error(error.message), error_(std::move(error)) {}
  const Error& error() const { return error_; }

 private:
  Error error_;
};

/// Found by argument-dependent lookup: Result::value() throws this when it holds an Error.
[[noreturn]] void throw_exception_from_error(const Error& error, const boost::source_location& location);

template <class T = void>
using Result = boost::system::result<T, Error>;

/// The accelerator failed; the engine thread catches it once, ends the process with one line, and halod
/// recovers.
class DeviceError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);

}  // namespace halod

/// Our own bugs only, on in release builds too: logs the expression and aborts. Never for input.
#define HALOD_ASSERT(condition) \
  ((condition) ? static_cast<void>(0) : ::halod::assertion_failed(#condition, __FILE__, __LINE__))
