// The machine's power profile, held over D-Bus: org.freedesktop.UPower.PowerProfiles of power-profiles-daemon
// (from 0.20 on) and tuned-ppd, or else net.hadess.PowerProfiles, its name before.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <string>

#include "base/error.h"
#include "daemon/control/power_hold.h"
#include "daemon/control/worker_pool.h"

namespace halod {

/// On a connection of its own for each hold: the power profile's daemon ends a hold with the connection that
/// asked for it, so that none outlives halod, whatever happens. Whatever goes wrong is one line in the log
/// and status(). Thread: the io thread; what Setup refers to outlives this.
class PowerProfile : public PowerProfileHolder {
 public:
  struct Setup {
    boost::asio::any_io_executor executor;
    WorkerPool& workers;
    std::string bus_address;        ///< empty = the system bus
    std::function<void()> changed;  ///< status() is another one; must not call this class
  };
  explicit PowerProfile(Setup setup);
  ~PowerProfile() override;

  const PowerStatus& status() const { return status_; }

  // -- PowerProfileHolder
  void hold(const std::string& profile) override;
  void release() override;

 private:
  struct Hold;
  boost::asio::awaitable<void> run(std::shared_ptr<Hold> hold);
  boost::asio::awaitable<Result<>> connect(std::shared_ptr<Hold> hold);
  boost::asio::awaitable<Result<>> ask(std::shared_ptr<Hold> hold);
  boost::asio::awaitable<void> give_back(std::shared_ptr<Hold> hold);
  void set_status(const Hold& hold, PowerStatus status);
  void tell_problem(const std::string& problem);

  Setup setup_;
  PowerStatus status_;
  std::shared_ptr<Hold> hold_;  // what was asked for last and not released yet, granted or not
  std::string told_problem_;    // the same one again at the next busy spell is no news
};

}  // namespace halod
