// The doctor's results as a table and as JSON.
#pragma once

#include <boost/json/object.hpp>
#include <span>
#include <string>

#include "base/machine/machine.h"
#include "cli/doctor/checks.h"
#include "cli/terminal.h"

namespace halod::cli {

/// "  warn    IOMMU             translated (…)\n" and, below it, the remedy where there is one. The line's
/// verdict is a word too: colours alone would say nothing to those who do not see them.
std::string result_line(const CheckResult& result, const Paint& paint);

/// "2 of 19 checks failed, 1 warns. …": one sentence or two, without a line's end.
std::string final_sentence(std::span<const CheckResult> results);

/// {"passed", "counts": {verdict: n}, "checks": [{"name", "verdict", "evidence", "remedy"}], "root"}
boost::json::object report_json(const Machine& machine, std::span<const CheckResult> results);

bool any_failed(std::span<const CheckResult> results);

}  // namespace halod::cli
