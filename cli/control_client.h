// What haloctl asks of a server and tells it to do, whichever way it reaches it.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>
#include <boost/system/result.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "cli/exit_status.h"

namespace halod::cli {

/// Why there is no answer: a sentence for people, and the status to exit with.
struct Failure {
  ExitStatus status = kRefused;
  std::string message;
};
template <class T>
using Reply = boost::system::result<T, Failure>;

/// The same for every way. `code` is the server's: what helps to retry later is kNotReady, all else kRefused.
ExitStatus exit_status_of_refusal(ErrorCode code);
/// Of our own side: wrong arguments, or nobody there.
Failure failure_of(const Error& error);

struct ModelList {
  boost::json::array models;
  bool has_admin = false;  ///< as in GET /v1/admin/models, else as in GET /v1/models
};

/// load, unload, swap, rescan.
struct JobOrder {
  std::string verb;
  std::string model;   ///< empty for a rescan
  std::string policy;  ///< drain, pause; empty: what the server is configured for
};

/// Answers are JSON with the fields that halod's HTTP routes have, in their order. Every call blocks until
/// the answer is there or given up on. Thread: one.
class ControlClient {
 public:
  virtual ~ControlClient() = default;

  /// Where the server serves HTTP: "http://127.0.0.1:8000".
  virtual std::string url() const = 0;

  // -- as far as the server lets everybody see it
  /// As GET /health; "status" is "ok" when requests are served.
  virtual Reply<boost::json::value> health() = 0;
  /// As GET /version.
  virtual Reply<boost::json::value> version() = 0;
  virtual Reply<ModelList> models() = 0;

  // -- for administrators
  /// As GET /v1/admin/jobs.
  virtual Reply<boost::json::array> jobs() = 0;
  virtual Reply<boost::json::value> job(uint32_t id) = 0;
  /// As GET /v1/admin/machine: memory, the GPU's memory, the power profile.
  virtual Reply<boost::json::value> machine() = 0;
  /// As GET /v1/admin/tuning: which kernel serves what.
  virtual Reply<boost::json::value> tuning() = 0;
  /// The job as it begins.
  virtual Reply<boost::json::value> start(const JobOrder& order) = 0;
  virtual Reply<boost::json::value> cancel(uint32_t id) = 0;
  virtual Reply<boost::json::value> reload() = 0;
  virtual Reply<boost::json::value> set_log_level(const std::string& level) = 0;
};

}  // namespace halod::cli
