// Python's two ways to format text.
#pragma once

#include <string>
#include <string_view>

#include "runtime/text/jinja/call.h"

namespace halod::jinja {

/// `format % operand`: a tuple gives several values, a dictionary named ones. Knows %s %r %d %i %u %f %F %e
/// %g %x %X %o %c %% with flags, width and precision. Errors: fails as Python would.
std::string format_percent(std::string_view format, const Value& operand, Budget& budget);

/// `format.format(…)` with {}, {0} and {name}; no conversions and format specifications. Errors: fails for
/// those.
std::string format_braces(std::string_view format, const Arguments& arguments, Budget& budget);

}  // namespace halod::jinja
