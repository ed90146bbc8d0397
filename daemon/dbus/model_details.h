// A model as Manager.ListModels describes it.
#pragma once

#include <cstddef>
#include <map>
#include <string>

#include "base/dbus/sdbus_compat.h"
#include "daemon/control/model.h"

namespace halod {

/// What GET /v1/admin/models says of it too, by the names that io.halod.Halod1.xml lists.
std::map<std::string, sdbus::Variant> model_details(const Model& model, bool active, size_t n_unfinished);

}  // namespace halod
