#include "cli/server_view.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/format.h"
#include "cli/json_fields.h"

namespace halod::cli {

namespace json = boost::json;

namespace {

constexpr int kBarWidth = 30;

const json::value* active_model(const ServerView& view) {
  const std::string name = text_of(view.health, "model");
  for (const json::value& model : view.models) {
    if (text_of(model, view.has_admin ? "name" : "id") == name) return &model;
  }
  return nullptr;
}

std::string join_nonempty(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) {
    if (!part.empty()) text += (text.empty() ? "" : ", ") + part;
  }
  return text;
}

std::string or_dash(std::string text) { return text.empty() ? "-" : text; }
std::string bytes_or_dash(uint64_t bytes) { return bytes > 0 ? format_bytes(bytes) : "-"; }

uint64_t total(const json::array& models, std::string_view name) {
  uint64_t sum = 0;
  for (const json::value& model : models) sum += count_of(model, name);
  return sum;
}

bool is_resident(const json::value& model) {
  const std::string state = text_of(model, "state");
  return state == "loading" || state == "loaded" || state == "unloading";
}

/// The context that requests get, or the one that the file offers while it is not loaded.
std::string context_of(const json::value& model) {
  for (const char* name : {"context_length", "max_model_len", "trained_context_length"}) {
    if (const uint64_t tokens = count_of(model, name); tokens > 0) return std::to_string(tokens);
  }
  return "-";
}

std::string state_of(const ServerView& view) {
  std::string state = text_of(view.health, "status");
  if (state == "ok") state = "ready";
  if (const std::string reason = text_of(view.health, "reason"); !reason.empty()) state += ": " + reason;
  if (find_member(view.health, "percent"))
    state += " " + format_bar(number_of(view.health, "percent") / 100, kBarWidth);
  return state;
}

std::string requests_of(const ServerView& view) {
  if (!view.has_admin) return text_of(view.health, "requests");
  return fmt::format("{} ({} running, {} waiting)", text_of(view.health, "requests"),
                     total(view.models, "running"), total(view.models, "waiting"));
}

/// "GTT 12 GiB of 120 GiB, VRAM 180.5 MiB of 512 MiB"; empty on machines without such a GPU.
std::string gpu_memory_of(const ServerView& view) {
  const json::value* memory = find_member(view.machine, "gpu_memory");
  if (!memory) return "";
  const auto used_of_total = [memory](const char* name, const char* used, const char* total) {
    return fmt::format("{} {} of {}", name, format_bytes(count_of(*memory, used)),
                       format_bytes(count_of(*memory, total)));
  };
  return used_of_total("GTT", "gtt_used_bytes", "gtt_total_bytes") + ", " +
         used_of_total("VRAM", "vram_used_bytes", "vram_total_bytes");
}

/// Empty where halod leaves the power profile alone.
std::string power_of(const ServerView& view) {
  const json::value* power = find_member(view.machine, "power");
  const std::string wanted = power ? text_of(*power, "hold_profile") : "";
  if (wanted.empty() || wanted == "off") return "";
  if (flag_of(*power, "held")) return text_of(*power, "profile") + " held";
  const std::string problem = text_of(*power, "problem");
  return wanted + (problem.empty() ? " held while there is work" : " not held: " + problem);
}

}  // namespace

bool is_ready(const json::value& health) { return text_of(health, "status") == "ok"; }

Reply<ServerView> look_at_server(ControlClient& client) {
  ServerView view{.url = client.url()};
  auto health = client.health();
  if (!health) return health.error();
  view.health = std::move(*health);
  auto version = client.version();
  if (!version) return version.error();
  view.version = std::move(*version);
  auto list = client.models();
  if (!list && list.error().status != kRefused) return list.error();
  if (!list || !list->has_admin) {
    if (list) view.models = std::move(list->models);
    return view;
  }
  view.models = std::move(list->models);
  view.has_admin = true;
  auto jobs = client.jobs();
  if (!jobs) return jobs.error();
  view.jobs = std::move(*jobs);
  if (auto tuning = client.tuning()) view.tuning = text_of(*tuning, "state");  // nor can that
  auto machine = client.machine();
  if (machine) view.machine = std::move(*machine);  // a server of before cannot tell
  return view;
}

json::object view_json(const ServerView& view) {
  json::object object;
  object["url"] = view.url;
  object["health"] = view.health;
  object["version"] = view.version;
  object["models"] = view.models;
  object["jobs"] = view.jobs;
  object["machine"] = view.machine;
  object["tuning"] = view.tuning;
  return object;
}

std::string format_status(const ServerView& view) {
  std::string text = fmt::format("server    {}, halod {}\n", view.url, text_of(view.version, "version"));
  text += fmt::format("state     {}\n", state_of(view));
  const json::value* model = active_model(view);
  std::string details;
  if (model) {
    const std::string context = context_of(*model);
    details = join_nonempty({text_of(*model, "quantization"), text_of(*model, "architecture"),
                             context == "-" ? "" : context + " tokens of context"});
  }
  text += fmt::format("model     {}{}\n", or_dash(text_of(view.health, "model")),
                      details.empty() ? "" : " (" + details + ")");
  if (const std::string backend = text_of(view.version, "backend"); !backend.empty())
    text += fmt::format("backend   {} ({})\n", backend, text_of(view.version, "device"));
  if (!view.tuning.empty()) text += fmt::format("kernels   {}\n", view.tuning);
  text += fmt::format("requests  {}\n", requests_of(view));
  if (find_member(view.health, "tokens_per_second"))
    text += fmt::format("speed     {:.1f} tok/s\n", number_of(view.health, "tokens_per_second"));
  if (view.has_admin) {
    text +=
        fmt::format("memory    {} in {} loaded model{}\n", format_bytes(total(view.models, "resident_bytes")),
                    std::ranges::count_if(view.models, is_resident),
                    std::ranges::count_if(view.models, is_resident) == 1 ? "" : "s");
  }
  if (const std::string memory = gpu_memory_of(view); !memory.empty())
    text += fmt::format("GPU       {}\n", memory);
  if (const std::string power = power_of(view); !power.empty()) text += fmt::format("power     {}\n", power);
  for (const json::value& job : view.jobs) {
    const std::string state = text_of(job, "state");
    if (state == "waiting" || state == "running")
      text += fmt::format("job {:<5} {}\n", text_of(job, "id"), format_job_progress(job));
  }
  return text;
}

std::string format_models(const json::array& models, bool has_admin) {
  if (!has_admin) {
    Table table({"NAME", "STATE", "ARCHITECTURE", "CONTEXT"});
    for (const json::value& model : models) {
      table.add({text_of(model, "id"), or_dash(text_of(model, "state")),
                 or_dash(text_of(model, "architecture")), context_of(model)});
    }
    return table.to_string();
  }
  Table table({"NAME", "STATE", "QUANT", "SIZE", "CONTEXT", "MEMORY", "NOTES"});
  for (const json::value& model : models) {
    const json::value* error = find_member(model, "error");
    table.add(
        {text_of(model, "name"), text_of(model, "state"), or_dash(text_of(model, "quantization")),
         bytes_or_dash(count_of(model, "size_bytes")), context_of(model),
         bytes_or_dash(count_of(model, "resident_bytes")),
         join_nonempty({flag_of(model, "active") ? "active" : "", flag_of(model, "pinned") ? "pinned" : "",
                        error ? text_of(*error, "message") : ""})});
  }
  return table.to_string();
}

std::string format_jobs(const json::array& jobs) {
  if (jobs.empty()) return "no jobs\n";
  Table table({"ID", "KIND", "MODEL", "STATE", "STAGE", "DONE", "TIME", "BY", "ERROR"});
  for (const json::value& job : jobs) {
    const json::value* error = find_member(job, "error");
    const double seconds = number_of(job, "seconds");
    table.add({text_of(job, "id"), text_of(job, "kind"), or_dash(text_of(job, "model")),
               text_of(job, "state"), text_of(job, "stage"),
               fmt::format("{:.0f}%", 100 * number_of(job, "fraction")),
               seconds > 0 ? format_seconds(seconds) : "-", text_of(job, "requester"),
               error ? text_of(*error, "message") : ""});
  }
  return table.to_string();
}

std::string format_top(const ServerView& view) {
  std::string text = fmt::format("{}  {}  {:.1f} tok/s  requests {}  memory {}\n", view.url, state_of(view),
                                 number_of(view.health, "tokens_per_second"), requests_of(view),
                                 format_bytes(total(view.models, "resident_bytes")));
  if (const std::string memory = gpu_memory_of(view); !memory.empty()) text += memory + "\n";
  text += "\n";
  Table table({"MODEL", "STATE", "RUNNING", "WAITING", "KV PAGES", "KV", "WEIGHTS", "MEMORY"});
  for (const json::value& model : view.models) {
    if (!is_resident(model)) continue;
    table.add({text_of(model, "name") + (flag_of(model, "active") ? " *" : ""), text_of(model, "state"),
               std::to_string(count_of(model, "running")), std::to_string(count_of(model, "waiting")),
               fmt::format("{}/{}", count_of(model, "kv_pages_used"), count_of(model, "kv_pages")),
               bytes_or_dash(count_of(model, "kv_cache_bytes")),
               bytes_or_dash(count_of(model, "weight_bytes")),
               bytes_or_dash(count_of(model, "resident_bytes"))});
  }
  text += table.empty() ? "no model is loaded\n" : table.to_string();
  for (const json::value& job : view.jobs) {
    const std::string state = text_of(job, "state");
    if (state == "waiting" || state == "running")
      text += fmt::format("\njob {}: {}\n", text_of(job, "id"), format_job_progress(job));
  }
  return text;
}

std::string format_tuning(const json::value& tuning) {
  const json::array& rows = items_of(tuning, "selections");
  if (text_of(tuning, "backend").empty()) return "no model is loaded\n";
  std::string text =
      fmt::format("backend   {} ({})\n", text_of(tuning, "backend"), text_of(tuning, "device"));
  if (const std::string state = text_of(tuning, "state"); !state.empty())
    text += fmt::format("state     {}\n", state);
  if (rows.empty()) return text;
  Table table({"OPERATION", "FORMAT", "VARIANT", "TUNING"});
  for (const json::value& row : rows) {
    table.add({text_of(row, "operation"), or_dash(text_of(row, "format")), text_of(row, "variant"),
               or_dash(text_of(row, "tuning"))});
  }
  return text + table.to_string();
}

std::string format_job_progress(const json::value& job) {
  std::string text = fmt::format("{}{}{}: {}", text_of(job, "kind"), find_member(job, "model") ? " " : "",
                                 text_of(job, "model"), text_of(job, "stage"));
  if (text_of(job, "stage") == "tuning") {
    text += fmt::format(" {}", format_bar(number_of(job, "fraction"), kBarWidth));
  } else if (const uint64_t bytes = count_of(job, "bytes_total"); bytes > 0) {
    text += fmt::format(" {}, {} of {}", format_bar(number_of(job, "fraction"), kBarWidth),
                        format_bytes(count_of(job, "bytes_done")), format_bytes(bytes));
  }
  return text;
}

}  // namespace halod::cli
