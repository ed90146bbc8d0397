// What a server says about itself, gathered from its routes, and how people read it.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/api_client.h"

namespace halod::cli {

/// One look at a server.
struct ServerView {
  std::string url;
  unsigned health_status = 0;
  boost::json::value health;
  boost::json::value version;
  boost::json::array models;   ///< of /v1/admin/models, or of /v1/models where that is closed to us
  boost::json::array jobs;     ///< empty without the admin routes
  boost::json::value machine;  ///< null without them
  bool has_admin = false;      ///< whether models and jobs are the administrator's

  bool ready() const { return health_status == 200; }
};

/// Asks /health, /version, and for models, jobs and the machine what it may. Blocks. Errors: those of
/// ApiClient; kIo when what answers is not halod.
Result<ServerView> look_at_server(const ApiClient& client);

/// The models of one of the two routes. `has_admin` says which it was. Errors: as above; a refusal of both
/// routes leaves the list empty.
Result<boost::json::array> fetch_models(const ApiClient& client, bool& has_admin);

boost::json::object view_json(const ServerView& view);

// Texts of several lines, each with its end.
std::string format_status(const ServerView& view);
std::string format_models(const boost::json::array& models, bool has_admin);
std::string format_jobs(const boost::json::array& jobs);
std::string format_top(const ServerView& view);
/// What /v1/admin/tuning answers.
std::string format_tuning(const boost::json::value& tuning);

/// "swap b: weights [####      ]  40%, 1.2 GiB of 3 GiB", one line without its end.
std::string format_job_progress(const boost::json::value& job);

}  // namespace halod::cli
