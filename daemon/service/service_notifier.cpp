#include "daemon/service/service_notifier.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <systemd/sd-daemon.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <utility>

#include "daemon/service/status_line.h"

namespace halod {

using std::chrono::duration_cast;
using std::chrono::microseconds;
using std::chrono::steady_clock;

namespace {

/// Each line is a message to PID 1 and a D-Bus signal to whoever watches the unit.
constexpr std::chrono::seconds kStatusInterval{1};
/// Loading counts as progress with every percent, so this is for one percent of the largest model from the
/// slowest disk, and for warming up.
constexpr microseconds kStartExtension = std::chrono::minutes(3);
/// What ends after the requests have: the engine's exit, the connections, our own.
constexpr microseconds kStopMargin = std::chrono::seconds(20);
/// systemd's own advice is a half; a third forgives one late turn of the loop.
constexpr int kFeedingsPerTimeout = 3;

/// As systemd compares it with its own clock.
uint64_t monotonic_usec() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000 + static_cast<uint64_t>(now.tv_nsec) / 1'000;
}

}  // namespace

ServiceNotifier::ServiceNotifier(Setup setup)
    : setup_(std::move(setup)),
      enabled_(std::getenv("NOTIFY_SOCKET") != nullptr),
      status_timer_(setup_.executor),
      watchdog_timer_(setup_.executor) {}

void ServiceNotifier::start() {
  uint64_t timeout_usec = 0;
  if (!enabled_ || ::sd_watchdog_enabled(0, &timeout_usec) <= 0) return;
  watchdog_interval_ = microseconds(timeout_usec / kFeedingsPerTimeout);
  feed_watchdog();
}

/// From the io loop on purpose: a loop that is stuck must miss its deadline.
void ServiceNotifier::feed_watchdog() {
  const bool looked_after = engine_is_looked_after(setup_.engine.engine_pid() != 0, setup_.engine.silence(),
                                                   setup_.engine.config().heartbeat_timeout);
  if (looked_after) send("WATCHDOG=1");
  if (std::exchange(was_looked_after_, looked_after) && !looked_after) {
    spdlog::critical(
        "engine {} has been silent for {:.1f} s and does not go when it is killed: the watchdog is not fed",
        setup_.engine.engine_pid(), std::chrono::duration<double>(setup_.engine.silence()).count());
  }
  watchdog_timer_.expires_after(watchdog_interval_);
  watchdog_timer_.async_wait([this](const boost::system::error_code& ec) {
    if (!ec) feed_watchdog();
  });
}

void ServiceNotifier::reload_begins() {
  // Before the first READY=1, the one after the reload would say that the model is there.
  if (!announced_ || stopping_) return;
  reloading_ = true;
  send(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", monotonic_usec()));
}

void ServiceNotifier::reload_ended(const Result<>& result) {
  note_ = result ? "" : fmt::format("the configuration was not changed: {}", result.error().message);
  if (!std::exchange(reloading_, false) || stopping_) return status_changed();
  send("READY=1\nSTATUS=" + current_status());
}

void ServiceNotifier::stopping(std::chrono::milliseconds timeout, std::string why) {
  if (stopping_) return;
  const microseconds extension = duration_cast<microseconds>(timeout) + kStopMargin;
  std::ranges::replace(why, '\n', ' ');
  send(fmt::format("STOPPING=1\nEXTEND_TIMEOUT_USEC={}\nSTATUS={}", extension.count(), why));
  stopping_ = true;
}

void ServiceNotifier::on_readiness(const Readiness& readiness) {
  progressed_ = true;
  if (!readiness.ready() || announced_ || stopping_) return status_changed();
  announced_ = true;
  send("READY=1\nSTATUS=" + current_status());
}

void ServiceNotifier::on_active_model(const Model*) { status_changed(); }

void ServiceNotifier::on_job_changed(const Job&) {
  progressed_ = true;
  status_changed();
}

void ServiceNotifier::on_job_ended(const Job&) { status_changed(); }
void ServiceNotifier::on_heartbeat() { status_changed(); }

void ServiceNotifier::status_changed() {
  if (!enabled_ || stopping_ || status_timer_runs_) return;
  const auto due = last_status_at_ + kStatusInterval;
  if (steady_clock::now() >= due) return send_status();
  status_timer_runs_ = true;
  status_timer_.expires_at(due);
  status_timer_.async_wait([this](const boost::system::error_code& ec) {
    status_timer_runs_ = false;
    if (!ec && !stopping_) send_status();
  });
}

void ServiceNotifier::send_status() {
  const bool extend = std::exchange(progressed_, false) && !announced_;
  const std::string before = last_status_;
  std::string message = "STATUS=" + current_status();
  if (extend) message += fmt::format("\nEXTEND_TIMEOUT_USEC={}", kStartExtension.count());
  if (extend || last_status_ != before) send(message);
}

/// For a message that is about to be sent.
std::string ServiceNotifier::current_status() {
  ServiceSnapshot snapshot = take_snapshot(setup_.models);
  snapshot.note = note_;
  last_status_ = status_line(snapshot);
  last_status_at_ = steady_clock::now();
  return last_status_;
}

void ServiceNotifier::send(const std::string& message) {
  // Blocks only if PID 1 has left hundreds of messages unread. Nobody can be told that one did not arrive;
  // what matters, systemd notices by its absence.
  if (enabled_) (void)::sd_notify(0, message.c_str());
}

}  // namespace halod
