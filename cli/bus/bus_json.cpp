#include "cli/bus/bus_json.h"

#include <boost/json/value_from.hpp>
#include <vector>

namespace halod::cli {

namespace json = boost::json;

namespace {

using ErrorProperty = sdbus::Struct<std::string, std::string>;
using ErrorBytes = sdbus::Struct<uint64_t, uint64_t>;

/// Microseconds since 1970 on the bus.
int64_t milliseconds(const Properties& properties, const std::string& name) {
  return static_cast<int64_t>(value_of<uint64_t>(properties, name) / 1000);
}

json::value error_of_bus(const ErrorProperty& error, const ErrorBytes& bytes) {
  const std::string name = std::get<0>(error);
  if (name.empty()) return nullptr;
  const auto code = error_code_of_bus(name);
  json::object object{{"code", code ? std::string(to_string(*code)) : name}, {"message", std::get<1>(error)}};
  if (std::get<0>(bytes) > 0) {
    object["needed_bytes"] = std::get<0>(bytes);
    object["available_bytes"] = std::get<1>(bytes);
  }
  return object;
}

}  // namespace

json::object model_of_bus(const ModelRow& row) {
  const Properties& details = std::get<4>(row);
  json::object model{{"name", std::get<1>(row)},
                     {"aliases", json::value_from(value_of<std::vector<std::string>>(details, "aliases"))},
                     {"path", value_of<std::string>(details, "path")},
                     {"state", std::get<2>(row)},
                     {"active", value_of<bool>(details, "active")},
                     {"pinned", value_of<bool>(details, "pinned")},
                     {"requests", value_of<uint32_t>(details, "unfinished_requests")},
                     {"resident_bytes", value_of<uint64_t>(details, "resident_bytes")},
                     {"last_used_ms", milliseconds(details, "last_used_usec")}};
  model["error"] =
      error_of_bus(value_of<ErrorProperty>(details, "error"), value_of<ErrorBytes>(details, "error_bytes"));
  if (details.contains("parameters")) {
    model["architecture"] = value_of<std::string>(details, "architecture");
    model["quantization"] = value_of<std::string>(details, "quantization");
    model["size_bytes"] = std::get<3>(row);
    model["parameters"] = value_of<uint64_t>(details, "parameters");
    model["trained_context_length"] = value_of<uint32_t>(details, "trained_context_length");
  }
  if (details.contains("backend")) {
    model["backend"] = value_of<std::string>(details, "backend");
    model["device"] = value_of<std::string>(details, "device");
    model["context_length"] = value_of<uint32_t>(details, "context_length");
    model["max_sequences"] = value_of<uint32_t>(details, "max_sequences");
    model["weight_bytes"] = value_of<uint64_t>(details, "weight_bytes");
    model["kv_cache_bytes"] = value_of<uint64_t>(details, "kv_cache_bytes");
    model["load_seconds"] = value_of<double>(details, "load_seconds");
  }
  if (details.contains("kv_pages")) {
    model["running"] = value_of<uint32_t>(details, "running");
    model["waiting"] = value_of<uint32_t>(details, "waiting");
    model["kv_pages_used"] = value_of<uint64_t>(details, "kv_pages_used");
    model["kv_pages"] = value_of<uint64_t>(details, "kv_pages");
  }
  return model;
}

json::object job_of_bus(const Properties& job) {
  json::object object{{"id", value_of<uint32_t>(job, "Id")},
                      {"kind", value_of<std::string>(job, "Kind")},
                      {"state", value_of<std::string>(job, "State")},
                      {"stage", value_of<std::string>(job, "Stage")},
                      {"fraction", value_of<double>(job, "Progress")},
                      {"bytes_done", value_of<uint64_t>(job, "BytesDone")},
                      {"bytes_total", value_of<uint64_t>(job, "BytesTotal")},
                      {"created_ms", milliseconds(job, "CreatedUSec")},
                      {"seconds", value_of<double>(job, "Seconds")}};
  object["requester"] = std::get<0>(value_of<sdbus::Struct<std::string, uint32_t>>(job, "Requester"));
  object["error"] =
      error_of_bus(value_of<ErrorProperty>(job, "Error"), value_of<ErrorBytes>(job, "ErrorBytes"));
  const auto model = value_of<std::string>(job, "ModelName");
  if (!model.empty()) object["model"] = model;
  return object;
}

json::object health_of_bus(const Properties& manager, const Properties& stats) {
  const auto state = value_of<std::string>(manager, "State");
  const bool ready = state == "ready";
  json::object health;
  health["status"] = ready ? "ok" : state;
  if (!ready) health["reason"] = value_of<std::string>(manager, "StateReason");
  if (state == "loading") health["percent"] = value_of<uint32_t>(manager, "LoadPercent");
  const auto model = value_of<std::string>(manager, "ActiveModel");
  health["model"] = model.empty() ? json::value(nullptr) : json::value(model);
  health["requests"] = value_of<uint64_t>(stats, "RequestsUnfinished");
  health["tokens_per_second"] = value_of<double>(stats, "TokensPerSecond");
  return health;
}

json::object machine_of_bus(const Properties& memory, const Properties& power) {
  json::value gpu_memory;
  if (value_of<uint64_t>(memory, "GttTotalBytes") > 0) {  // there is such a GPU
    gpu_memory = {{"gtt_total_bytes", value_of<uint64_t>(memory, "GttTotalBytes")},
                  {"gtt_used_bytes", value_of<uint64_t>(memory, "GttUsedBytes")},
                  {"vram_total_bytes", value_of<uint64_t>(memory, "VramTotalBytes")},
                  {"vram_used_bytes", value_of<uint64_t>(memory, "VramUsedBytes")},
                  {"ttm_pages_limit", value_of<uint64_t>(memory, "TtmPagesLimit")}};
  }
  return {{"memory",
           {{"total_bytes", value_of<uint64_t>(memory, "MemTotalBytes")},
            {"available_bytes", value_of<uint64_t>(memory, "MemAvailableBytes")}}},
          {"gpu_memory", std::move(gpu_memory)},
          {"power",
           {{"hold_profile", value_of<std::string>(power, "HoldProfile")},
            {"held", value_of<bool>(power, "PowerProfileHeld")},
            {"profile", value_of<std::string>(power, "PowerProfile")},
            {"problem", value_of<std::string>(power, "PowerProfileProblem")}}}};
}

json::object tuning_of_bus(const Properties& tuning) {
  using Selection = sdbus::Struct<std::string, std::string, std::string>;
  json::array selections;
  const auto states = value_of<std::vector<std::string>>(tuning, "SelectionStates");
  for (const Selection& row : value_of<std::vector<Selection>>(tuning, "Selections")) {
    const size_t i = selections.size();
    selections.push_back({{"operation", std::get<0>(row)},
                          {"format", std::get<1>(row)},
                          {"variant", std::get<2>(row)},
                          {"tuning", i < states.size() ? states[i] : std::string()}});
  }
  return {{"backend", value_of<std::string>(tuning, "Backend")},
          {"device", value_of<std::string>(tuning, "Device")},
          {"state", value_of<std::string>(tuning, "TuningState")},
          {"selections", std::move(selections)}};
}

json::object version_of_bus(const Properties& manager, const ModelRow* active) {
  json::object version{{"name", "halod"}, {"version", value_of<std::string>(manager, "Version")}};
  if (active && std::get<4>(*active).contains("backend")) {
    version["backend"] = value_of<std::string>(std::get<4>(*active), "backend");
    version["device"] = value_of<std::string>(std::get<4>(*active), "device");
  }
  return version;
}

}  // namespace halod::cli
