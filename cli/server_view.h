// What a server says about itself, gathered from its routes, and how people read it.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <string>
#include <vector>

#include "cli/control_client.h"

namespace halod::cli {

/// One look at a server.
struct ServerView {
  std::string url;
  boost::json::value health;
  boost::json::value version;
  boost::json::array models;   ///< as ModelList has them
  boost::json::array jobs;     ///< empty for those who are no administrators
  boost::json::value machine;  ///< null for them
  std::string tuning = {};     ///< "untuned", "partly tuned", "tuned"; empty: nothing to say
  bool has_admin = false;      ///< whether models, jobs and machine are the administrator's
};

/// Whether the server takes requests now.
bool is_ready(const boost::json::value& health);

/// Asks for health and version, and of models and jobs what it may know. Blocks. Errors: those of the client,
/// but for a refusal to show models, which leaves them empty.
Reply<ServerView> look_at_server(ControlClient& client);

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
