// halo-bench selftest: whether every kernel that this CPU can run computes what the reference computes.
#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <memory>

#include "base/cpu_features.h"
#include "base/error.h"
#include "bench/command.h"
#include "kernels/ops/self_test.h"

namespace halod::bench {
namespace {

void print_json(const std::vector<SelfTestRow>& rows, int64_t n_run, int64_t n_failed) {
  boost::json::array variants;
  for (const SelfTestRow& row : rows) {
    boost::json::object variant;
    variant["operation"] = row.operation;
    variant["variant"] = row.variant;
    variant["format"] = row.format;
    variant["result"] = to_string(row.result);
    variant["nmse"] = row.nmse;
    variants.push_back(std::move(variant));
  }
  boost::json::object out;
  out["device"] = cpu_model_name();
  out["run"] = n_run;
  out["failed"] = n_failed;
  out["variants"] = std::move(variants);
  fmt::print("{}\n", boost::json::serialize(out));
}

void run(bool json) {
  const std::vector<SelfTestRow> rows = run_kernel_self_test();
  const auto count = [&rows](SelfTestResult result) {
    return std::ranges::count(rows, result, &SelfTestRow::result);
  };
  const int64_t n_failed = count(SelfTestResult::kFailed);
  const int64_t n_run = n_failed + count(SelfTestResult::kPassed);
  if (json) {
    print_json(rows, n_run, n_failed);
  } else {
    for (const SelfTestRow& row : rows) {
      fmt::print("{:<8} {:<20} {:<22} {:<5} {:.1e}\n", to_string(row.result), row.operation, row.variant,
                 row.format, row.nmse);
    }
    fmt::print("{} variants run, {} failed, {} not for this CPU\n", n_run, n_failed,
               count(SelfTestResult::kNotRun));
  }
  if (n_failed > 0)
    throw ErrorException({ErrorCode::kInternal,
                          fmt::format("{} of {} kernel variants compute wrong results", n_failed, n_run)});
}

}  // namespace

void add_selftest_command(CLI::App& app) {
  auto json = std::make_shared<bool>(false);
  CLI::App* command =
      app.add_subcommand("selftest", "Check every kernel variant that this CPU runs against the reference");
  command->add_flag("--json", *json, "One JSON object instead of the table");
  command->callback([json] { run(*json); });
}

}  // namespace halod::bench
