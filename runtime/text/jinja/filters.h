// What may stand behind `|`.
#pragma once

#include <string_view>

#include "runtime/text/jinja/call.h"

namespace halod::jinja {

/// nullptr when there is none of that name. A filter takes the value as its first argument.
const Function* find_filter(std::string_view name);

}  // namespace halod::jinja
