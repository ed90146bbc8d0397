#include "cli/doctor/doctor.h"

#include <fmt/format.h>
#include <unistd.h>

#include <boost/json/serialize.hpp>
#include <cstdio>

#include "cli/child_program.h"
#include "cli/doctor/checks.h"
#include "cli/doctor/report.h"
#include "cli/exit_status.h"
#include "cli/terminal.h"

namespace halod::cli {

int run_doctor(const Reply<std::unique_ptr<ControlClient>>& server, bool as_json, const DoctorFlags& flags) {
  const Machine machine = read_machine(flags.root);
  const Subject subject{.machine = machine,
                        .server = server,
                        .caller = current_identity(),
                        .bench_program = flags.bench.empty() ? sibling_program("halo-bench")
                                                             : std::filesystem::path(flags.bench),
                        .models_folder = flags.models};
  if (!machine.is_live()) {
    fmt::print(stderr, "haloctl: {} is a recorded machine: nothing is measured, and no service is asked\n",
               flags.root);
  }
  const bool shows_progress = !as_json && is_terminal(STDERR_FILENO);
  const auto results = run_checks(subject, [shows_progress](const Check& check) {
    // On one line, which the next one overwrites.
    if (shows_progress) fmt::print(stderr, "\r\033[K{} …", check.title);
  });
  if (shows_progress) fmt::print(stderr, "\r\033[K");
  if (as_json) {
    fmt::print("{}\n", boost::json::serialize(report_json(machine, results)));
  } else {
    const Paint paint = Paint::for_standard_output();
    for (const CheckResult& result : results) fmt::print("{}", result_line(result, paint));
    fmt::print("\n{}\n", final_sentence(results));
  }
  return any_failed(results) ? kUnhealthy : kSuccess;
}

}  // namespace halod::cli
