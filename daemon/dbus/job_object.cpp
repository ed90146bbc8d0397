#include "daemon/dbus/job_object.h"

#include <fmt/format.h>

#include "daemon/dbus/bus_error.h"
#include "daemon/dbus/bus_values.h"

namespace halod {
namespace {

constexpr std::array kChangingJobProperties{"State", "Stage", "Progress", "BytesDone", "BytesTotal", "Error"};

}  // namespace

JobObject::JobObject(sdbus::IConnection& connection, const BusContext& context, JobId id)
    : AdaptorInterfaces(connection, sdbus::ObjectPath(job_path(id))),
      context_(context),
      id_(id),
      published_(kChangingJobProperties, values()) {
  registerAdaptor();
}

const Job& JobObject::job() const {
  const halod::Job* job = context_.models.find_job(id_);
  if (!job) throw unknown_object(fmt::format("job {} ended long ago", to_int(id_)));
  return *job;
}

JobObject::Values JobObject::values() {
  return {State(), Stage(), Progress(), BytesDone(), BytesTotal(), Error()};
}

bool JobObject::publish() {
  const auto& [state, stage, progress, bytes_done, bytes_total, error] = published_.known();
  const auto now = Clock::now();
  if (state == State() && stage == Stage() && now < next_progress_) return false;
  const std::vector<std::string> changed = published_.update(values());
  if (changed.empty()) return true;
  next_progress_ = now + kProgressInterval;
  sdbus_compat::emit_changed(getObject(), INTERFACE_NAME, changed);
  return true;
}

void JobObject::Cancel(sdbus::Result<>&& result) {
  answer_when_done(context_, getObject(), "io.halod.cancel-job", std::move(result),
                   [&models = context_.models, id = id_] { return models.cancel(id); });
}

sdbus::ObjectPath JobObject::Model() {
  const auto& model = job().model;
  return sdbus::ObjectPath(model ? context_.paths.of(*model) : kNoObject);
}

sdbus::Struct<std::string, uint32_t> JobObject::Requester() {
  const halod::Requester& requester = job().requester;
  return {requester.name, requester.uid};
}

uint64_t JobObject::CreatedUSec() { return to_bus_time(job().created_at); }

sdbus::Struct<std::string, std::string> JobObject::Error() { return error_property(job().error); }

sdbus::Struct<uint64_t, uint64_t> JobObject::ErrorBytes() { return error_bytes_property(job().error); }

}  // namespace halod
