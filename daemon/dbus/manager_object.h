// The root object: Manager, Stats, Memory, Power and Tuning.
#pragma once

#include <halod1_adaptor.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "base/machine/memory.h"
#include "daemon/control/tuning.h"
#include "daemon/dbus/bus_calls.h"
#include "daemon/dbus/changed_properties.h"

namespace halod {

/// Reads from what BusContext names at each question. Thread: the io thread. Throws sdbus::Error when the bus
/// is lost.
class ManagerObject final
    : public sdbus::AdaptorInterfaces<io::halod::Halod1::Manager_adaptor, io::halod::Halod1::Stats_adaptor,
                                      io::halod::Halod1::Memory_adaptor, io::halod::Halod1::Power_adaptor,
                                      io::halod::Halod1::Tuning_adaptor> {
 public:
  ManagerObject(sdbus::IConnection& connection, const BusContext& context);
  ~ManagerObject() { unregisterAdaptor(); }
  ManagerObject(const ManagerObject&) = delete;
  ManagerObject& operator=(const ManagerObject&) = delete;

  /// Tells listeners what changed. A new sentence for the same state (it counts percents while a model is
  /// loaded) at most ten times a second: false when it must wait for that.
  bool publish();
  /// The same for Power, and for Tuning.
  void publish_power();
  void publish_tuning();
  void tell_new(const Job& job);
  void tell_ended(const Job& job);

 private:
  using Clock = std::chrono::steady_clock;
  using Options = std::map<std::string, sdbus::Variant>;
  using JobReply = sdbus::Result<sdbus::ObjectPath>;
  /// In the order of the names in manager_object.cpp.
  using Values = std::tuple<std::string, std::string, std::string, sdbus::ObjectPath, std::string>;
  Values values();
  using PowerValues = std::tuple<bool, std::string, std::string>;
  PowerValues power_values();
  using Selection = sdbus::Struct<std::string, std::string, std::string>;
  using TuningValues =
      std::tuple<std::string, std::string, std::vector<Selection>, std::string, std::vector<std::string>>;
  TuningValues tuning_values();

  // -- Manager
  std::vector<sdbus::Struct<sdbus::ObjectPath, std::string, std::string, uint64_t, Options>> ListModels()
      override;
  sdbus::ObjectPath GetModel(const std::string& name) override;
  void Load(JobReply&& result, std::string name, Options options) override;
  void Unload(JobReply&& result, std::string name, Options options) override;
  void Swap(JobReply&& result, std::string name, Options options) override;
  std::vector<sdbus::Struct<uint32_t, sdbus::ObjectPath, std::string, std::string, double>> ListJobs()
      override;
  void Rescan(JobReply&& result) override;
  void Reload(sdbus::Result<>&& result) override;
  void SetLogLevel(sdbus::Result<>&& result, std::string level) override;
  std::string Version() override { return context_.version; }
  std::vector<std::string> Features() override;
  std::string State() override;
  std::string StateReason() override { return context_.models.readiness().reason; }
  uint32_t LoadPercent() override { return static_cast<uint32_t>(context_.models.readiness().percent); }
  std::string ActiveModel() override;
  sdbus::ObjectPath ActiveModelPath() override;
  std::vector<std::string> HttpEndpoints() override { return context_.http_endpoints; }
  std::string LogLevel() override { return context_.service.log_level(); }

  // -- Stats
  uint64_t RequestsFinished() override;
  uint64_t RequestsCancelled() override;
  uint64_t RequestsRefused() override;
  uint64_t RequestsUnfinished() override { return context_.models.n_unfinished(); }
  uint64_t PromptTokens() override;
  uint64_t GeneratedTokens() override;
  double TokensPerSecond() override { return context_.models.tokens_per_second(); }
  uint64_t EngineDeaths() override;

  // -- Memory
  uint64_t MemTotalBytes() override;
  uint64_t MemAvailableBytes() override;
  uint64_t ModelsResidentBytes() override;
  uint64_t GttTotalBytes() override { return gpu_memory().gtt_total_bytes; }
  uint64_t GttUsedBytes() override { return gpu_memory().gtt_used_bytes; }
  uint64_t VramTotalBytes() override { return gpu_memory().vram_total_bytes; }
  uint64_t VramUsedBytes() override { return gpu_memory().vram_used_bytes; }
  uint64_t TtmPagesLimit() override { return gpu_memory().ttm_pages_limit; }
  GpuMemory gpu_memory() const { return context_.machine.gpu_memory().value_or(GpuMemory{}); }

  // -- Power
  std::string HoldProfile() override { return context_.service.power().configured; }
  bool PowerProfileHeld() override { return !context_.service.power().profile.empty(); }
  std::string PowerProfile() override { return context_.service.power().profile; }
  std::string PowerProfileProblem() override { return context_.service.power().problem; }

  // -- Tuning
  std::string Backend() override { return tuning_of(context_.models).backend; }
  std::string Device() override { return tuning_of(context_.models).device; }
  std::vector<Selection> Selections() override;
  std::vector<std::string> SelectionStates() override;
  std::string TuningState() override { return tuning_of(context_.models).state; }

  const BusContext& context_;
  ChangedProperties<Values> published_;
  ChangedProperties<PowerValues> published_power_;
  ChangedProperties<TuningValues> published_tuning_;
  Clock::time_point next_reason_{};
};

}  // namespace halod
