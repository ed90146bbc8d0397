#include "cli/inspect/inspect.h"

#include <fmt/format.h>

#include <boost/json/serialize.hpp>
#include <chrono>
#include <filesystem>

#include "cli/child_program.h"
#include "cli/exit_status.h"
#include "cli/inspect/inspect_view.h"
#include "cli/json_fields.h"

namespace halod::cli {
namespace {

namespace json = boost::json;

// Headers take milliseconds, the bandwidth a second or two; a file on a network that hangs takes for ever.
constexpr std::chrono::seconds kTimeout{120};

Result<json::value> ask_bench(const InspectFlags& flags) {
  const std::filesystem::path program =
      flags.bench.empty() ? sibling_program("halo-bench") : std::filesystem::path(flags.bench);
  const auto output = run_program(program,
                                  {"inspect", "--context", std::to_string(flags.context_length),
                                   "--sequences", std::to_string(flags.n_sequences), "--bandwidth",
                                   fmt::format("{}", flags.read_gb_per_s), "--", flags.path},
                                  kTimeout);
  if (!output) return output.error();
  json::value report = parse_or_null(output->out);
  if (report.is_object()) return report;
  return Error{ErrorCode::kIo, fmt::format("{} inspect exited {}: {}", program.string(), output->status,
                                           output->err.substr(0, output->err.find('\n')))};
}

}  // namespace

int run_inspect(bool as_json, const InspectFlags& flags) {
  const auto report = ask_bench(flags);
  if (!report) {
    fmt::print(stderr, "haloctl: {}\n", report.error().message);
    return kCannotRun;
  }
  if (as_json) {
    fmt::print("{}\n", json::serialize(*report));
  } else if (const json::value* error = find_member(*report, "error")) {
    fmt::print(stderr, "haloctl: {}\n", text_of(*error, "message"));
  } else {
    fmt::print("{}", format_inspection(*report));
  }
  return status_of_inspection(*report);
}

}  // namespace halod::cli
