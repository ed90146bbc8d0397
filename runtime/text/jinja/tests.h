// What may stand behind `is`.
#pragma once

#include <string_view>

#include "runtime/text/jinja/call.h"

namespace halod::jinja {

/// nullptr when there is none of that name. A test takes the value as its first argument and gives a bool.
const Function* find_test(std::string_view name);

}  // namespace halod::jinja
