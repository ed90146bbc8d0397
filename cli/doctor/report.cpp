#include "cli/doctor/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>

#include "cli/format.h"

namespace halod::cli {
namespace {

namespace json = boost::json;

Colour colour_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOk:
      return Colour::kGreen;
    case Verdict::kWarn:
      return Colour::kYellow;
    case Verdict::kFail:
      return Colour::kRed;
    case Verdict::kSkipped:
      break;
  }
  return Colour::kDim;
}

size_t title_width() {
  size_t width = 0;
  for (const Check& check : all_checks()) width = std::max(width, display_width(check.title));
  return width;
}

int64_t count(std::span<const CheckResult> results, Verdict verdict) {
  return std::ranges::count_if(
      results, [verdict](const CheckResult& result) { return result.finding.verdict == verdict; });
}

}  // namespace

std::string result_line(const CheckResult& result, const Paint& paint) {
  const Finding& finding = result.finding;
  // Padded before it is painted: escape sequences have no width.
  const std::string word =
      paint(colour_of(finding.verdict), fmt::format("{:<7}", to_string(finding.verdict)));
  const size_t indent = 2 + 7 + 2 + title_width() + 2;
  std::string text =
      fmt::format("  {}  {:<{}}  {}\n", word, result.check->title, title_width(), finding.evidence);
  if (!finding.remedy.empty())
    text += fmt::format("{:{}}{}\n", "", indent, paint(Colour::kBold, "→ " + finding.remedy));
  return text;
}

std::string final_sentence(std::span<const CheckResult> results) {
  const int64_t n_failed = count(results, Verdict::kFail), n_warnings = count(results, Verdict::kWarn);
  const std::string warnings = fmt::format("{} warning{}", n_warnings, n_warnings == 1 ? "" : "s");
  if (n_failed > 0) {
    return fmt::format(
        "{} of {} checks failed, with {}: halod will not run well here until the remedies above are "
        "carried out.",
        n_failed, results.size(), warnings);
  }
  if (n_warnings > 0)
    return fmt::format("Nothing failed, with {}: halod runs here; the remedies above make it better.",
                       warnings);
  const int64_t n_skipped = count(results, Verdict::kSkipped);
  return fmt::format("All is well: halod can use this machine as it is ({} of {} checks skipped).", n_skipped,
                     results.size());
}

json::object report_json(const Machine& machine, std::span<const CheckResult> results) {
  json::object counts;
  for (const Verdict verdict : {Verdict::kOk, Verdict::kWarn, Verdict::kFail, Verdict::kSkipped})
    counts[to_string(verdict)] = count(results, verdict);
  json::array checks;
  for (const auto& [check, finding] : results) {
    json::object row;
    row["name"] = check->name;
    row["verdict"] = to_string(finding.verdict);
    row["evidence"] = finding.evidence;
    row["remedy"] = finding.remedy.empty() ? json::value(nullptr) : json::value(finding.remedy);
    checks.push_back(std::move(row));
  }
  json::object report;
  report["passed"] = !any_failed(results);
  report["counts"] = std::move(counts);
  report["checks"] = std::move(checks);
  report["root"] = machine.root.string();
  return report;
}

bool any_failed(std::span<const CheckResult> results) { return count(results, Verdict::kFail) > 0; }

}  // namespace halod::cli
