#include "runtime/backend/tuning/tuning_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace halod {
namespace {

// Far more than anything that halod writes; what a hostile file may make of memory and of a log line.
constexpr size_t kMaxLineBytes = 512, kMaxFieldBytes = 160, kMaxValidators = 32, kMaxResults = 20'000;
constexpr double kMaxMilliseconds = 1e7;
constexpr std::string_view kValidator = "Validator";

std::vector<std::string_view> fields_of(std::string_view line) {
  std::vector<std::string_view> fields;
  for (size_t begin = 0; begin <= line.size();) {
    const size_t end = std::min(line.find(',', begin), line.size());
    fields.push_back(line.substr(begin, end - begin));
    begin = end + 1;
  }
  return fields;
}

bool is_printable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= 0x20 && c < 0x7f; });
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kMaxFieldBytes && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_-+.:").find(c) != std::string_view::npos;
  });
}

/// What is wrong with a line; empty: it has been taken.
std::string_view take_line(std::string_view line, TuningText& text) {
  if (line.size() > kMaxLineBytes) return "too long";
  if (!is_printable(line)) return "not text";
  const std::vector<std::string_view> fields = fields_of(line);
  if (fields[0] == kValidator) {
    if (fields.size() != 3 || !is_name(fields[1])) return "not 'Validator,NAME,VALUE'";
    if (text.validators.size() == kMaxValidators) return "one validator too many";
    text.validators.push_back({std::string(fields[1]), std::string(fields[2])});
    return {};
  }
  if (fields.size() != 4) return "not 'OPERATION,PARAMS,SOLUTION,TIME_MS'";
  if (!is_name(fields[0]) || !is_name(fields[1]) || !is_name(fields[2])) return "not a name in it";
  double time_ms = 0;
  const char* end = fields[3].data() + fields[3].size();
  const auto [stop, error] = std::from_chars(fields[3].data(), end, time_ms);
  if (error != std::errc() || stop != end || !std::isfinite(time_ms) || time_ms < 0 ||
      time_ms > kMaxMilliseconds)
    return "its time is not a number of milliseconds";
  if (text.results.size() == kMaxResults) return "one result too many";
  text.results[{std::string(fields[0]), std::string(fields[1])}] = {std::string(fields[2]), time_ms};
  return {};
}

}  // namespace

TuningText parse_tuning(std::string_view text) {
  TuningText parsed;
  int line_number = 0;
  const auto skip = [&](std::string_view why) {
    if (parsed.n_skipped++ == 0) parsed.first_problem = fmt::format("line {}: {}", line_number, why);
  };
  while (!text.empty()) {
    ++line_number;
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) {
      skip("cut off");  // halod ends every line; a number that lost its last digits would still be one
      break;
    }
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    if (const std::string_view why = take_line(line, parsed); !why.empty()) skip(why);
  }
  return parsed;
}

std::string format_tuning(const Validators& validators, const TuningResults& results) {
  std::string text;
  for (const Validator& validator : validators)
    text += fmt::format("{},{},{}\n", kValidator, validator.name, validator.value);
  for (const auto& [key, result] : results)
    text += fmt::format("{},{},{},{:.6g}\n", key.operation, key.params, result.solution, result.time_ms);
  return text;
}

std::string first_difference(const Validators& there, const Validators& here) {
  const auto value_in = [](const Validators& all, const std::string& name) {
    const auto found = std::ranges::find(all, name, &Validator::name);
    return found == all.end() ? std::string("missing") : "'" + found->value + "'";
  };
  for (const Validators* side : {&here, &there}) {
    for (const Validator& validator : *side) {
      const std::string is_there = value_in(there, validator.name), is_here = value_in(here, validator.name);
      if (is_there != is_here)
        return fmt::format("{} is {} there and {} here", validator.name, is_there, is_here);
    }
  }
  return {};
}

}  // namespace halod
