// What an administrator can do to halod itself, whichever way it is asked.
#pragma once

#include <string>

#include "base/error.h"
#include "daemon/control/power_hold.h"

namespace halod {

/// Thread: the io thread.
class ServiceControl {
 public:
  virtual ~ServiceControl() = default;
  /// Reads the configuration file again. Errors: those of the loader; the old configuration then stays. What
  /// needs a restart (http.listen, engine.*) is logged and not applied.
  virtual Result<> reload() = 0;
  /// trace, debug, info, warning, error or critical. Errors: kInvalidArgument.
  virtual Result<> set_log_level(const std::string& level) = 0;
  virtual std::string log_level() const = 0;
  virtual PowerStatus power() const = 0;
};

}  // namespace halod
