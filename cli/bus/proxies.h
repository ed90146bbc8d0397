// halod's objects as its clients see them: the generated methods, and all properties at once.
#pragma once

#include <halod1_proxy.h>

#include <map>
#include <string>

#include "base/dbus/bus_names.h"
#include "base/dbus/sdbus_compat.h"

namespace halod::cli {

using Properties = std::map<std::string, sdbus::Variant>;

/// One call for all of an interface's properties. Throws sdbus::Error.
Properties get_all(sdbus::IProxy& proxy, const char* interface);

/// The methods throw sdbus::Error. Thread: one, that of the connection.
class ManagerProxy final : public sdbus::ProxyInterfaces<io::halod::Halod1::Manager_proxy> {
 public:
  explicit ManagerProxy(sdbus::IConnection& connection)
      : ProxyInterfaces(connection, sdbus_compat::ServiceName(kBusName), sdbus::ObjectPath(kBusRoot)) {
    registerProxy();
  }
  ~ManagerProxy() { unregisterProxy(); }
  ManagerProxy(const ManagerProxy&) = delete;
  ManagerProxy& operator=(const ManagerProxy&) = delete;

  Properties properties() { return get_all(getProxy(), Manager_proxy::INTERFACE_NAME); }
  Properties statistics() { return get_all(getProxy(), io::halod::Halod1::Stats_proxy::INTERFACE_NAME); }
  Properties memory() { return get_all(getProxy(), io::halod::Halod1::Memory_proxy::INTERFACE_NAME); }
  Properties power() { return get_all(getProxy(), io::halod::Halod1::Power_proxy::INTERFACE_NAME); }
  Properties tuning() { return get_all(getProxy(), io::halod::Halod1::Tuning_proxy::INTERFACE_NAME); }

 private:
  // Jobs are asked for, as over HTTP, and not listened to.
  void onJobNew(const uint32_t&, const sdbus::ObjectPath&, const std::string&, const std::string&) override {}
  void onJobRemoved(const uint32_t&, const sdbus::ObjectPath&, const std::string&,
                    const std::string&) override {}
};

class JobProxy final : public sdbus::ProxyInterfaces<io::halod::Halod1::Job_proxy> {
 public:
  JobProxy(sdbus::IConnection& connection, const std::string& path)
      : ProxyInterfaces(connection, sdbus_compat::ServiceName(kBusName), sdbus::ObjectPath(path)) {
    registerProxy();
  }
  ~JobProxy() { unregisterProxy(); }
  JobProxy(const JobProxy&) = delete;
  JobProxy& operator=(const JobProxy&) = delete;

  Properties properties() { return get_all(getProxy(), INTERFACE_NAME); }
};

}  // namespace halod::cli
