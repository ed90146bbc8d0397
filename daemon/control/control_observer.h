// Who is told when something about the models changes: D-Bus, systemd's status line, tests.
#pragma once

#include "daemon/control/job.h"
#include "daemon/control/model.h"
#include "daemon/control/readiness.h"

namespace halod {

/// Each call comes after the change, on the io thread, and must not change anything itself. What is borrowed
/// is valid during the call.
class ControlObserver {
 public:
  virtual ~ControlObserver() = default;
  virtual void on_readiness(const Readiness& /*readiness*/) {}
  virtual void on_model_added(const Model& /*model*/) {}
  virtual void on_model_changed(const Model& /*model*/) {}
  virtual void on_model_removed(const Model& /*model*/) {}
  /// Another model is the one that requests without a model's name mean; nullptr: none is.
  virtual void on_active_model(const Model* /*model*/) {}
  virtual void on_job_added(const Job& /*job*/) {}
  virtual void on_job_changed(const Job& /*job*/) {}
  /// It has ended; `job` has its result.
  virtual void on_job_ended(const Job& /*job*/) {}
  /// There is something to do (a request that is unfinished, a job that has not ended), or nothing any more.
  virtual void on_busy(bool /*busy*/) {}
  /// The engine answered; the models' statistics are new.
  virtual void on_heartbeat() {}
};

}  // namespace halod
