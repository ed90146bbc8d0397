// Who may change something: asks polkit.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/dbus/sdbus_compat.h"
#include "daemon/control/job.h"

namespace halod {

struct Authorization {
  bool allowed = false;
  Requester requester;
  std::string refusal;  ///< a sentence for the caller, when not allowed
};

/// Of one connection. Where polkit does not answer (it is not installed, or this is no system bus), root and
/// the user that halod runs as may do everything, and nobody else anything. Thread: the io thread.
class Authorizer {
 public:
  explicit Authorizer(sdbus::IConnection& connection);

  /// Calls `done` when polkit has answered: never at once, and not at all when this is destroyed before.
  /// `action` is one of packaging/polkit/io.halod.policy. REQUIRES: `done` does not throw.
  void authorize(const sdbus_compat::Caller& caller, const std::string& action,
                 std::function<void(Authorization)> done);

 private:
  void ask_polkit(const sdbus_compat::Caller& caller, const std::string& action, Requester requester,
                  std::function<void(Authorization)> done);

  std::unique_ptr<sdbus::IProxy> bus_;
  std::unique_ptr<sdbus::IProxy> polkit_;
};

}  // namespace halod
