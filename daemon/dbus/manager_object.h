// The root object: Manager, Stats and Memory.
#pragma once

#include <halod1_adaptor.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "base/machine/memory.h"
#include "daemon/dbus/bus_calls.h"
#include "daemon/dbus/changed_properties.h"

namespace halod {

/// Reads from what BusContext names at each question. Thread: the io thread. Throws sdbus::Error when the bus
/// is lost.
class ManagerObject final
    : public sdbus::AdaptorInterfaces<io::halod::Halod1::Manager_adaptor, io::halod::Halod1::Stats_adaptor,
                                      io::halod::Halod1::Memory_adaptor> {
 public:
  ManagerObject(sdbus::IConnection& connection, const BusContext& context);
  ~ManagerObject() { unregisterAdaptor(); }
  ManagerObject(const ManagerObject&) = delete;
  ManagerObject& operator=(const ManagerObject&) = delete;

  /// Tells listeners what changed. A new sentence for the same state (it counts percents while a model is
  /// loaded) at most ten times a second: false when it must wait for that.
  bool publish();
  void tell_new(const Job& job);
  void tell_ended(const Job& job);

 private:
  using Clock = std::chrono::steady_clock;
  using Options = std::map<std::string, sdbus::Variant>;
  using JobReply = sdbus::Result<sdbus::ObjectPath>;
  /// In the order of the names in manager_object.cpp.
  using Values = std::tuple<std::string, std::string, std::string, sdbus::ObjectPath, std::string>;
  Values values();

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

  const BusContext& context_;
  ChangedProperties<Values> published_;
  Clock::time_point next_reason_{};
};

}  // namespace halod
