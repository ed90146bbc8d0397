// The seam between supervision and processes: the real engine is a child process, a test's engine may be
// anything.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <cstdint>
#include <memory>
#include <string>

#include "base/error.h"

namespace halod {

struct ProcessEnd {
  std::string how;          ///< "exited with status 1", "was killed by signal 9 (Killed)"
  bool by_sigkill = false;  ///< which nothing does to itself
};

/// A started engine. Destroying it kills it. Thread: the io thread.
class EngineProcess {
 public:
  virtual ~EngineProcess() = default;
  virtual int64_t pid() const = 0;
  /// Our end of the socket pair. Call once.
  virtual boost::asio::local::stream_protocol::socket take_socket() = 0;
  virtual void kill() = 0;
  /// Waits for its end.
  virtual boost::asio::awaitable<ProcessEnd> wait_for_exit() = 0;
};

class EngineLauncher {
 public:
  virtual ~EngineLauncher() = default;
  /// Errors: kNotFound, kIo: there is no program to start. Thread: the io thread.
  virtual Result<std::unique_ptr<EngineProcess>> launch() = 0;
};

}  // namespace halod
