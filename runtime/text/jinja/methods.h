// Methods of strings, lists, dictionaries and loops. Those that would change their object are missing, as in
// Hugging Face's immutable sandbox.
#pragma once

#include <string_view>

#include "runtime/text/jinja/call.h"

namespace halod::jinja {

/// The method of that name for values of this type; nullptr when there is none. It takes the object as its
/// first argument.
const Function* find_method(const Value& object, std::string_view name);

}  // namespace halod::jinja
