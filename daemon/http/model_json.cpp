#include "daemon/http/model_json.h"

namespace halod {

namespace json = boost::json;

namespace {

int64_t unix_milliseconds(std::chrono::system_clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

json::value error_or_null(const std::optional<Error>& error) {
  if (!error) return nullptr;
  json::object object{{"code", to_string(error->code)}, {"message", error->message}};
  if (error->needed_bytes > 0) {
    object["needed_bytes"] = error->needed_bytes;
    object["available_bytes"] = error->available_bytes;
  }
  return object;
}

}  // namespace

json::object model_json(const Model& model, bool active, size_t n_requests) {
  json::object object{{"name", model.spec.name},
                      {"aliases", json::value_from(model.spec.config.aliases)},
                      {"path", model.spec.path.string()},
                      {"state", to_string(model.state)},
                      {"active", active},
                      {"pinned", model.spec.config.pinned},
                      {"requests", n_requests},
                      {"resident_bytes", model.resident_bytes()},
                      {"last_used_ms", unix_milliseconds(model.last_used_at)},
                      {"error", error_or_null(model.error)}};
  if (model.info) {
    object["architecture"] = model.info->architecture;
    object["quantization"] = model.info->quantization;
    object["size_bytes"] = model.info->size_bytes;
    object["parameters"] = model.info->n_parameters;
    object["trained_context_length"] = model.info->context_length;
  }
  if (model.loaded) {
    object["backend"] = model.loaded->backend;
    object["device"] = model.loaded->device;
    object["context_length"] = model.loaded->context_length;
    object["max_sequences"] = model.loaded->max_sequences;
    object["weight_bytes"] = model.loaded->weight_bytes;
    object["kv_cache_bytes"] = model.loaded->kv_cache_bytes;
    object["load_seconds"] = model.loaded->load_seconds;
  }
  if (model.stats) {
    object["running"] = model.stats->n_running;
    object["waiting"] = model.stats->n_waiting;
    object["kv_pages_used"] = model.stats->kv_pages_used;
    object["kv_pages"] = model.stats->kv_pages_total;
  }
  return object;
}

json::object job_json(const Job& job) {
  json::object object{{"id", to_int(job.id)},
                      {"kind", to_string(job.kind)},
                      {"state", to_string(job.state)},
                      {"stage", job.stage},
                      {"fraction", job.fraction()},
                      {"bytes_done", job.bytes_done},
                      {"bytes_total", job.bytes_total},
                      {"created_ms", unix_milliseconds(job.created_at)},
                      {"seconds", job.seconds},
                      {"requester", job.requester.name},
                      {"error", error_or_null(job.error)}};
  if (!job.model_name.empty()) object["model"] = job.model_name;
  return object;
}

}  // namespace halod
