#include "daemon/control/power_hold.h"

#include <utility>

namespace halod {

namespace {
constexpr const char* kOff = "off";
}  // namespace

PowerHold::PowerHold(Setup setup) : setup_(std::move(setup)), release_timer_(setup_.executor) {}

void PowerHold::on_busy(bool busy) {
  if (busy_ && !busy) idle_since_ = Clock::now();
  busy_ = busy;
  update();
}

void PowerHold::stop() {
  stopped_ = true;
  update();
}

void PowerHold::update() {
  release_timer_.cancel();
  const std::string wanted = stopped_ || setup_.config.hold_profile == kOff ? "" : setup_.config.hold_profile;
  if (!asked_for_.empty() && asked_for_ != wanted) release();
  if (busy_) {
    if (!asked_for_.empty() || wanted.empty()) return;
    asked_for_ = wanted;
    return setup_.holder.hold(wanted);
  }
  if (asked_for_.empty()) return;
  const auto due = idle_since_ + setup_.config.release_after;
  if (Clock::now() >= due) return release();
  release_timer_.expires_at(due);
  release_timer_.async_wait([this](const boost::system::error_code& ec) {
    if (!ec) update();
  });
}

void PowerHold::release() {
  asked_for_.clear();
  setup_.holder.release();
}

}  // namespace halod
