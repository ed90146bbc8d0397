// When the machine shall run at full power: while halod has something to do, and a while after.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <string>

#include "daemon/config/config.h"
#include "daemon/control/control_observer.h"

namespace halod {

struct PowerStatus {
  std::string configured;  ///< what power.hold_profile says: off, or a profile
  std::string profile;     ///< the power profile that is held now; empty = none
  std::string problem;  ///< why none is held although one was asked for; a sentence, empty = nothing is wrong
};

/// Who can hold a power profile: daemon/dbus/power_profile.h, or a test's. Thread: the io thread.
class PowerProfileHolder {
 public:
  virtual ~PowerProfileHolder() = default;
  /// Asks for a profile; returns at once and tells the log what became of it. REQUIRES: release() since the
  /// last one.
  virtual void hold(const std::string& profile) = 0;
  /// The end of what hold() asked for, whether it was granted or not.
  virtual void release() = 0;
};

/// Asks for power.hold_profile once a busy spell: what is refused or taken away stays so until the next one,
/// because somebody who chose another profile meant it. Thread: the io thread; what Setup refers to outlives
/// this.
class PowerHold : public ControlObserver {
 public:
  struct Setup {
    boost::asio::any_io_executor executor;
    const PowerConfig& config;  ///< re-read at each use, so that a reload takes effect
    PowerProfileHolder& holder;
  };
  explicit PowerHold(Setup setup);

  /// The configuration was read again.
  void config_changed() { update(); }
  /// Releases at once, and holds nothing any more.
  void stop();

  // -- ControlObserver
  void on_busy(bool busy) override;

 private:
  using Clock = std::chrono::steady_clock;
  void update();
  void release();

  Setup setup_;
  std::string asked_for_;  // empty: nothing is
  bool busy_ = false;
  bool stopped_ = false;
  Clock::time_point idle_since_{};
  boost::asio::steady_timer release_timer_;
};

}  // namespace halod
