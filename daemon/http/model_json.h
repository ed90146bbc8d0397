// Models and jobs as /v1/admin shows them.
#pragma once

#include <boost/json/object.hpp>

#include "daemon/control/job.h"
#include "daemon/control/model.h"

namespace halod {

/// `n_requests`: sequences of this model that are running or waiting.
boost::json::object model_json(const Model& model, bool active, size_t n_requests);
boost::json::object job_json(const Job& job);

}  // namespace halod
