#include "cli/bus/proxies.h"

namespace halod::cli {

Properties get_all(sdbus::IProxy& proxy, const char* interface) {
  Properties properties;
  proxy.callMethod("GetAll")
      .onInterface("org.freedesktop.DBus.Properties")
      .withArguments(std::string(interface))
      .storeResultsTo(properties);
  return properties;
}

}  // namespace halod::cli
