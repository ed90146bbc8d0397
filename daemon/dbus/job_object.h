// One job on the bus.
#pragma once

#include <halod1_adaptor.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <tuple>

#include "daemon/control/job.h"
#include "daemon/dbus/bus_calls.h"
#include "daemon/dbus/changed_properties.h"

namespace halod {

/// Reads from the ModelManager at each question. Thread: the io thread. Throws sdbus::Error when the bus is
/// lost.
class JobObject final : public sdbus::AdaptorInterfaces<io::halod::Halod1::Job_adaptor> {
 public:
  JobObject(sdbus::IConnection& connection, const BusContext& context, JobId id);
  ~JobObject() { unregisterAdaptor(); }
  JobObject(const JobObject&) = delete;
  JobObject& operator=(const JobObject&) = delete;

  void announce() { getObject().emitInterfacesAddedSignal(); }
  void withdraw() { getObject().emitInterfacesRemovedSignal(); }
  /// Tells listeners what changed. Mere progress at most ten times a second: false when it must wait for
  /// that.
  bool publish();

 private:
  using Clock = std::chrono::steady_clock;
  /// In the order of the names in job_object.cpp.
  using Values = std::tuple<std::string, std::string, double, uint64_t, uint64_t,
                            sdbus::Struct<std::string, std::string>>;
  const Job& job() const;
  Values values();

  void Cancel(sdbus::Result<>&& result) override;
  uint32_t Id() override { return to_int(id_); }
  std::string Kind() override { return std::string(to_string(job().kind)); }
  sdbus::ObjectPath Model() override;
  std::string ModelName() override { return job().model_name; }
  sdbus::Struct<std::string, uint32_t> Requester() override;
  uint64_t CreatedUSec() override;
  std::string State() override { return std::string(to_string(job().state)); }
  std::string Stage() override { return job().stage; }
  double Progress() override { return job().fraction(); }
  uint64_t BytesDone() override { return job().bytes_done; }
  uint64_t BytesTotal() override { return job().bytes_total; }
  double Seconds() override { return job().seconds; }
  sdbus::Struct<std::string, std::string> Error() override;
  sdbus::Struct<uint64_t, uint64_t> ErrorBytes() override;

  const BusContext& context_;
  JobId id_;
  ChangedProperties<Values> published_;
  Clock::time_point next_progress_{};
};

}  // namespace halod
