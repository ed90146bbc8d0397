// The global functions of a template: range, dict, namespace, raise_exception, strftime_now.
#pragma once

#include <span>

#include "runtime/text/jinja/call.h"

namespace halod::jinja {

std::span<const Function> global_functions();

}  // namespace halod::jinja
