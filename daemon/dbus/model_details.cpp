#include "daemon/dbus/model_details.h"

#include "daemon/dbus/bus_error.h"
#include "daemon/dbus/bus_values.h"

namespace halod {

std::map<std::string, sdbus::Variant> model_details(const Model& model, bool active, size_t n_unfinished) {
  const ModelFileInfo info = model.info.value_or(ModelFileInfo{});
  std::map<std::string, sdbus::Variant> details;
  details["active"] = sdbus::Variant(active);
  details["aliases"] = sdbus::Variant(model.spec.config.aliases);
  details["path"] = sdbus::Variant(model.spec.path.string());
  details["pinned"] = sdbus::Variant(model.spec.config.pinned);
  details["architecture"] = sdbus::Variant(info.architecture);
  details["quantization"] = sdbus::Variant(info.quantization);
  details["context_length"] = sdbus::Variant(context_length_of(model));
  details["resident_bytes"] = sdbus::Variant(model.resident_bytes());
  details["unfinished_requests"] = sdbus::Variant(static_cast<uint32_t>(n_unfinished));
  details["last_used_usec"] = sdbus::Variant(to_bus_time(model.last_used_at));
  if (model.error) {
    details["error"] = sdbus::Variant(error_property(model.error));
    details["error_bytes"] = sdbus::Variant(error_bytes_property(model.error));
  }
  if (model.info) {
    details["parameters"] = sdbus::Variant(static_cast<uint64_t>(info.n_parameters));
    details["trained_context_length"] = sdbus::Variant(static_cast<uint32_t>(info.context_length));
  }
  if (model.loaded) {
    details["backend"] = sdbus::Variant(model.loaded->backend);
    details["device"] = sdbus::Variant(model.loaded->device);
    details["max_sequences"] = sdbus::Variant(model.loaded->max_sequences);
    details["weight_bytes"] = sdbus::Variant(model.loaded->weight_bytes);
    details["kv_cache_bytes"] = sdbus::Variant(model.loaded->kv_cache_bytes);
    details["load_seconds"] = sdbus::Variant(model.loaded->load_seconds);
  }
  if (model.stats) {
    details["running"] = sdbus::Variant(model.stats->n_running);
    details["waiting"] = sdbus::Variant(model.stats->n_waiting);
    details["kv_pages_used"] = sdbus::Variant(model.stats->kv_pages_used);
    details["kv_pages"] = sdbus::Variant(model.stats->kv_pages_total);
  }
  return details;
}

}  // namespace halod
