// Python's str methods.
#pragma once

#include <span>

#include "runtime/text/jinja/call.h"

namespace halod::jinja {

/// Each takes the string as its first argument.
std::span<const Function> string_methods();

/// str.split(separator, max_splits): without a separator at white space. max_splits < 0: no limit.
std::vector<Value> split(std::string_view text, const Value& separator, int64_t max_splits, Budget& budget);
/// str.splitlines().
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends);

}  // namespace halod::jinja
