// What has to be measured or asked: memory, bandwidth, kernels, the model disk, the service.
#include <fmt/format.h>

#include <algorithm>
#include <boost/json/value.hpp>

#include "base/machine/disk.h"
#include "cli/child_program.h"
#include "cli/doctor/checks.h"
#include "cli/doctor/disk_speed.h"
#include "cli/format.h"
#include "cli/json_fields.h"
#include "cli/server_view.h"

namespace halod::cli {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

// The CPU reads about 118 GB/s on a Strix Halo with LPDDR5X-8000; its fabric allows no more.
constexpr double kExpectedCpuGbPerS = 118;

/// The JSON object that a command of halo-bench prints. A failed self-test exits 1 and prints all the same.
Result<json::value> ask_bench(const Subject& subject, const std::string& command) {
  const auto output = run_program(subject.bench_program, {command, "--json"}, std::chrono::seconds(120));
  if (!output) return output.error();
  json::value value = parse_or_null(output->out);
  if (value.is_object()) return value;
  return Error{ErrorCode::kIo, fmt::format("{} {} exited {}: {}", subject.bench_program.string(), command,
                                           output->status, output->err.substr(0, output->err.find('\n')))};
}

bool is_strix_halo(const Machine& machine) { return machine.gpu() && machine.gpu()->is_strix_halo(); }

fs::path models_folder(const Subject& subject) {
  if (!subject.models_folder.empty()) return subject.models_folder;
  // The service's own, then what is installed with this program.
  const fs::path installed = sibling_program("../share/halod/models").lexically_normal();
  for (const fs::path& folder : {fs::path("/var/lib/halod/models"), installed}) {
    std::error_code ec;
    if (fs::is_directory(folder, ec)) return folder;
  }
  return {};
}

}  // namespace

Finding check_memory(const Subject& subject) {
  const auto& memory = subject.machine.memory;
  if (!memory) return skipped(memory.error().message);
  const std::string evidence = fmt::format("{} of {} available", format_bytes(memory->available_bytes),
                                           format_bytes(memory->total_bytes));
  // Below this the kernel starts to reclaim what running programs need next.
  if (memory->available_bytes < kGiB)
    return fail(evidence, "free some: haloctl unload MODEL, or end other programs");
  if (memory->available_bytes < memory->total_bytes / 10)
    return warn(evidence, "little is left for another model: haloctl models shows what is loaded");
  return ok(evidence);
}

Finding check_bandwidth(const Subject& subject) {
  const auto measured = ask_bench(subject, "bandwidth");
  if (!measured) return skipped("not measured: " + measured.error().message);
  const double rate = number_of(*measured, "read_gb_per_s");
  const std::string evidence =
      fmt::format("the CPU reads {:.1f} GB/s with {} threads", rate, count_of(*measured, "threads"));
  if (!is_strix_halo(subject.machine) || rate >= 0.75 * kExpectedCpuGbPerS) return ok(evidence);
  return warn(evidence,
              fmt::format("a Strix Halo reads about {:.0f}: end other load and measure again, then look "
                          "at the power profile and at the memory's speed in the firmware's setup",
                          kExpectedCpuGbPerS));
}

Finding check_self_test(const Subject& subject) {
  const auto tested = ask_bench(subject, "selftest");
  if (!tested) return skipped("not run: " + tested.error().message);
  const uint64_t n_run = count_of(*tested, "run"), n_failed = count_of(*tested, "failed");
  if (n_failed == 0 && n_run > 0)
    return ok(fmt::format("{} kernel variants agree with the reference", n_run));
  std::string names;
  for (const json::value& row : items_of(*tested, "variants")) {
    if (text_of(row, "result") != "failed") continue;
    names += fmt::format("{}{} {} {}", names.empty() ? "" : ", ", text_of(row, "operation"),
                         text_of(row, "variant"), text_of(row, "format"));
  }
  return fail(
      fmt::format("{} of {} kernel variants compute wrong results: {}", n_failed, n_run, names),
      "do not trust answers from this machine: test its memory (memtest86+) and undo overclocking; if it "
      "stays, report it with the output of halo-bench selftest");
}

Finding check_disk(const Subject& subject) {
  const fs::path folder = models_folder(subject);
  if (folder.empty()) return skipped("no model folder in the usual places; name one with --models");
  const auto file = largest_model_file(folder);
  if (!file) return skipped(fmt::format("no *.gguf file in {}", folder.string()));
  const auto disk = read_disk("/", fs::absolute(folder));
  const std::string where = disk ? fmt::format("{} ({})", disk->device, disk->filesystem) : folder.string();
  const auto speed = measure_disk_speed(*file, 256 << 20);
  if (!speed && speed.error().code == ErrorCode::kUnsupported)
    return skipped(fmt::format("{} has no direct reads", where));
  if (!speed) return fail(speed.error().message, "make the model files readable to those who run halod");
  const std::string evidence = fmt::format("{}: {:.2f} GB/s over {} of {}", where, speed->gb_per_s(),
                                           format_bytes(speed->bytes), file->filename().string());
  // Less says nothing about the disk: the first reads dominate.
  constexpr uint64_t kEnough = 16 << 20;
  if (speed->bytes < kEnough || speed->gb_per_s() >= 1) return ok(evidence);
  return warn(evidence,
              fmt::format("a model of 60 GB takes {} to load from here: keep models on an NVMe drive",
                          format_seconds(60 / std::max(0.001, speed->gb_per_s()))));
}

Finding check_service(const Subject& subject) {
  const char* start_it = "sudo systemctl enable --now halod";
  if (!subject.server) return warn(subject.server.error().message, start_it);
  ControlClient& server = **subject.server;
  const auto asked = server.health();
  if (!asked) return warn(asked.error().message, start_it);
  const json::value& health = *asked;
  const std::string state = text_of(health, "status");
  if (is_ready(health))
    return ok(fmt::format("answers at {}, model {}", server.url(), text_of(health, "model")));
  const std::string evidence = fmt::format("{}: {}", state, text_of(health, "reason"));
  if (state == "failed" || state == "degraded") return fail(evidence, "journalctl -u halod says why");
  return warn(evidence, "wait until it is ready: haloctl status");
}

}  // namespace halod::cli
