// A server's control over D-Bus (daemon/dbus/io.halod.Halod1.xml).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/dbus/open_bus.h"
#include "cli/bus/proxies.h"
#include "cli/control_client.h"

namespace halod::cli {

/// Whether halod can be called on a bus.
enum class BusPresence : uint8_t {
  kAbsent,
  kActivatable,  ///< the bus would start it
  kThere,
};
/// Errors: kUnavailable when the bus breaks off.
Result<BusPresence> find_halod(sdbus::IConnection& connection);

/// Of an error from the bus or from halod: the sentence and status that HTTP would give, as far as it can.
/// `bus` names the bus: "the system bus".
Failure failure_of_bus(const sdbus::Error& error, const std::string& bus);

class BusControl final : public ControlClient {
 public:
  /// REQUIRES: halod is there or can be started. Whoever must authenticate for a call is asked, and has two
  /// minutes.
  BusControl(std::unique_ptr<sdbus::IConnection> connection, std::string bus);

  std::string url() const override;
  Reply<boost::json::value> health() override;
  Reply<boost::json::value> version() override;
  Reply<ModelList> models() override;
  Reply<boost::json::array> jobs() override;
  Reply<boost::json::value> job(uint32_t id) override;
  Reply<boost::json::value> machine() override;
  Reply<boost::json::value> tuning() override;
  Reply<boost::json::value> start(const JobOrder& order) override;
  Reply<boost::json::value> cancel(uint32_t id) override;
  Reply<boost::json::value> reload() override;
  Reply<boost::json::value> set_log_level(const std::string& level) override;

 private:
  template <class Answer, class Ask>
  Reply<Answer> ask(Ask&& ask_it);
  template <class Answer, class Ask>
  Reply<Answer> ask_job(uint32_t id, Ask&& ask_it);
  sdbus::ObjectPath order_job(const JobOrder& order);

  std::unique_ptr<sdbus::IConnection> connection_;
  std::string bus_;
  std::unique_ptr<ManagerProxy> manager_;  // before the connection goes
  std::string url_;
};

}  // namespace halod::cli
