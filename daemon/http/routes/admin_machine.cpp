// /v1/admin/machine and /v1/admin/tuning: what halod runs on, and what computes.
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "base/machine/memory.h"
#include "daemon/control/tuning.h"
#include "daemon/http/routes/routes.h"

namespace halod {

namespace asio = boost::asio;
namespace json = boost::json;

namespace {

// Outside of the coroutines: GCC 12 takes no initializer list in an expression with co_await.

json::value gpu_memory_json(const std::optional<GpuMemory>& memory) {
  if (!memory) return nullptr;
  return json::object{{"gtt_total_bytes", memory->gtt_total_bytes},
                      {"gtt_used_bytes", memory->gtt_used_bytes},
                      {"vram_total_bytes", memory->vram_total_bytes},
                      {"vram_used_bytes", memory->vram_used_bytes},
                      {"ttm_pages_limit", memory->ttm_pages_limit}};
}

json::object machine_json(const Api& api) {
  const Result<MachineMemory> read = read_machine_memory();
  const MachineMemory memory = read ? *read : MachineMemory{};
  const PowerStatus power = api.service.power();
  return {{"memory", {{"total_bytes", memory.total_bytes}, {"available_bytes", memory.available_bytes}}},
          {"gpu_memory", gpu_memory_json(api.machine.gpu_memory())},
          {"power",
           {{"hold_profile", power.configured},
            {"held", !power.profile.empty()},
            {"profile", power.profile},
            {"problem", power.problem}}}};
}

json::object tuning_json(const ModelManager& models) {
  const Tuning tuning = tuning_of(models);
  json::array selections;
  for (const wire::KernelSelection& row : tuning.selections)
    selections.push_back({{"operation", row.operation},
                          {"format", row.format},
                          {"variant", row.variant},
                          {"tuning", row.tuning}});
  return {{"backend", tuning.backend},
          {"device", tuning.device},
          {"state", tuning.state},
          {"selections", std::move(selections)}};
}

}  // namespace

asio::awaitable<void> get_admin_machine(const Api& api, Exchange& exchange) {
  co_await exchange.respond(json_response(machine_json(api)));
}

asio::awaitable<void> get_admin_tuning(const Api& api, Exchange& exchange) {
  co_await exchange.respond(json_response(tuning_json(api.models)));
}

}  // namespace halod
