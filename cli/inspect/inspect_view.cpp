#include "cli/inspect/inspect_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "cli/format.h"
#include "cli/json_fields.h"

namespace halod::cli {

namespace json = boost::json;

namespace {

constexpr int kBarWidth = 24;
// What halod's decode reached of the bound where it was measured (docs/performance.md, 2026-11).
constexpr const char* kReached = "76 to 90 %";

std::string share_bar(double share) {
  return fmt::format("{:#<{}}", "",
                     std::max(share > 0 ? 1 : 0, static_cast<int>(std::lround(share * kBarWidth))));
}

std::string format_rate(double tokens_per_s) {
  return fmt::format("{:.{}f}", tokens_per_s, tokens_per_s < 100 ? 1 : 0);
}

std::string model_lines(const json::value& report) {
  std::string text = fmt::format("file          {}, {} in {} tensors\n", text_of(report, "path"),
                                 format_bytes(count_of(report, "file_bytes")), count_of(report, "tensors"));
  const std::string name = text_of(report, "name");
  text +=
      fmt::format("model         {}{}\n", text_of(report, "architecture"), name.empty() ? "" : ", " + name);
  text += fmt::format("parameters    {}", format_count(count_of(report, "parameters")));
  if (const uint64_t n_experts = count_of(report, "experts"); n_experts > 0) {
    text += fmt::format(", of which a token uses {} ({} of {} experts)",
                        format_count(count_of(report, "active_parameters")),
                        count_of(report, "experts_per_token"), n_experts);
  }
  const uint64_t context = count_of(report, "context_length");
  text += fmt::format("\ncontext       {}\n", context > 0 ? fmt::format("{} tokens", context) : "not stated");
  if (const json::value* tokenizer = find_member(report, "tokenizer")) {
    const std::string kind = text_of(*tokenizer, "model"), pre = text_of(*tokenizer, "pre");
    text += fmt::format("tokenizer     {}{}, {} tokens; {}\n", kind.empty() ? "none" : kind,
                        pre.empty() ? "" : " (" + pre + ")", count_of(*tokenizer, "vocabulary"),
                        flag_of(*tokenizer, "chat_template") ? "with a chat template" : "no chat template");
  }
  return text;
}

std::string format_lines(const json::value& report) {
  Table table({"TENSORS", "FORMAT", "NUMBER", "BYTES", "PER TOKEN", "SHARE", ""});
  const auto total = static_cast<double>(count_of(report, "tensor_bytes"));
  for (const json::value& group : items_of(report, "formats")) {
    const uint64_t bytes = count_of(group, "bytes");
    const double share = total > 0 ? static_cast<double>(bytes) / total : 0;
    table.add({text_of(group, "kind"),
               text_of(group, "format") + (flag_of(group, "supported") ? "" : " (unsupported)"),
               text_of(group, "tensors"), format_bytes(bytes),
               format_bytes(count_of(group, "bytes_per_token")), fmt::format("{:5.1f}%", 100 * share),
               share_bar(share)});
  }
  table.add({"all", "", text_of(report, "tensors"), format_bytes(count_of(report, "tensor_bytes")),
             format_bytes(count_of(report, "weight_bytes_per_token")), "", ""});
  return "\n" + table.to_string();
}

std::string memory_lines(const json::value& memory) {
  const uint64_t context = count_of(memory, "context_length"), n_sequences = count_of(memory, "sequences");
  std::string text = fmt::format(
      "\nmemory        {} for {} sequence{} of {} tokens: weights {}, KV cache {} ({} a token), scratch {}\n",
      format_bytes(count_of(memory, "needed_bytes")), n_sequences, n_sequences == 1 ? "" : "s", context,
      format_bytes(count_of(memory, "weight_bytes")), format_bytes(count_of(memory, "kv_cache_bytes")),
      format_bytes(count_of(memory, "kv_bytes_per_token")), format_bytes(count_of(memory, "scratch_bytes")));
  text += fmt::format(
      "here now      {} may be taken: {} are available, {} of them stay free for everything else\n",
      format_bytes(count_of(memory, "usable_bytes")), format_bytes(count_of(memory, "available_bytes")),
      format_bytes(count_of(memory, "kept_free_bytes")));
  return text;
}

std::string speed_lines(const json::value& speed) {
  std::string rates;
  for (const json::value& bound : items_of(speed, "decode")) {
    const uint64_t depth = count_of(bound, "depth");
    rates += fmt::format("{}{} tok/s {}", rates.empty() ? "" : ", ",
                         format_rate(number_of(bound, "tokens_per_s_at_most")),
                         depth == 0 ? "at the beginning" : fmt::format("after {} tokens", depth));
  }
  return fmt::format(
      "decode        at most {}\n              ({:.1f} GB/s, {}, over the bytes that a token reads; {} of "
      "such "
      "bounds were reached)\n",
      rates, number_of(speed, "read_gb_per_s"), flag_of(speed, "measured") ? "measured just now" : "as given",
      kReached);
}

/// "a context of 8192 would", for as many sequences as were asked for, or for one.
std::string remedy(const json::value& memory) {
  const uint64_t n_sequences = count_of(memory, "sequences"), together = count_of(memory, "longest_context"),
                 single = count_of(memory, "longest_single_context");
  if (together > 1 && n_sequences > 1)
    return fmt::format("{} sequences of {} tokens would, or one of {}", n_sequences, together, single);
  if (single > 1) return fmt::format("one sequence of {} tokens would", single);
  return "free memory, or choose a smaller model or quantisation";
}

std::string verdict(const json::value& report) {
  if (!flag_of(report, "runnable")) {
    std::string text;
    for (const json::value& problem : items_of(report, "problems"))
      text += fmt::format("cannot run    {}\n", text_of(problem, "message"));
    return text + "              (known from the file's header alone: no weight was read)\n";
  }
  const json::value* memory = find_member(report, "memory");
  if (!memory) return "";
  const uint64_t needed = count_of(*memory, "needed_bytes"), usable = count_of(*memory, "usable_bytes");
  if (!flag_of(*memory, "fits")) {
    return fmt::format("does not fit  {} needed, {} may be taken: {}\n", format_bytes(needed),
                       format_bytes(usable), remedy(*memory));
  }
  if (needed <= usable) return "fits\n";
  return fmt::format(
      "fits          with a context of {} and a KV cache of {} tokens for all sequences together, which is "
      "what halod makes of "
      "it; in full, {}\n",
      count_of(*memory, "served_context_length"), count_of(*memory, "served_kv_cache_tokens"),
      remedy(*memory));
}

}  // namespace

std::string format_count(uint64_t count) {
  static constexpr std::array kUnits = {"K", "M", "B", "T"};
  if (count < 1000) return std::to_string(count);
  double number = static_cast<double>(count) / 1000;
  size_t unit = 0;
  // 999.96 would print as 1000.0.
  while (number >= 999.95 && unit + 1 < kUnits.size()) {
    number /= 1000;
    ++unit;
  }
  return fmt::format("{:.1f} {}", number, kUnits[unit]);
}

std::string format_inspection(const json::value& report) {
  std::string text = model_lines(report) + format_lines(report);
  if (const json::value* memory = find_member(report, "memory")) text += memory_lines(*memory);
  if (const json::value* speed = find_member(report, "speed")) text += speed_lines(*speed);
  return text + "\n" + verdict(report);
}

ExitStatus status_of_inspection(const json::value& report) {
  if (const json::value* error = find_member(report, "error")) {
    const ErrorCode code = error_code_from(text_of(*error, "code"));
    return code == ErrorCode::kNotFound || code == ErrorCode::kInvalidArgument ? kUsage : kCannotRun;
  }
  if (!flag_of(report, "runnable")) return kCannotRun;
  const json::value* memory = find_member(report, "memory");
  return memory && flag_of(*memory, "fits") ? kSuccess : kDoesNotFit;
}

}  // namespace halod::cli
