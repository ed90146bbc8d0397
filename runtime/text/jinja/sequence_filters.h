// Filters of lists and dictionaries.
#pragma once

#include <span>

#include "runtime/text/jinja/call.h"

namespace halod::jinja {

std::span<const Function> sequence_filters();

}  // namespace halod::jinja
