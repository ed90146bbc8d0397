// Template source to statements.
#pragma once

#include <string_view>

#include "runtime/text/jinja/ast.h"

namespace halod::jinja {

/// Errors: throws TemplateError (kSyntax) with the line.
Block parse_template(std::string_view source);

}  // namespace halod::jinja
