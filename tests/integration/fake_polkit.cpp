// A polkit that allows what a file lists: fake_polkit ADDRESS FILE, one action per line, read at each
// question. One with " interactive" behind it is allowed where the user may be asked: its user knows the
// password.
#include <fake_polkit_adaptor.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <string>
#include <utility>

#include "base/dbus/sdbus_compat.h"

namespace {

class FakePolkit final : public sdbus::AdaptorInterfaces<org::freedesktop::PolicyKit1::Authority_adaptor> {
 public:
  FakePolkit(sdbus::IConnection& connection, std::string file)
      : AdaptorInterfaces(connection, sdbus::ObjectPath("/org/freedesktop/PolicyKit1/Authority")),
        file_(std::move(file)) {
    registerAdaptor();
  }
  ~FakePolkit() { unregisterAdaptor(); }

 private:
  using Subject = sdbus::Struct<std::string, std::map<std::string, sdbus::Variant>>;
  using Details = std::map<std::string, std::string>;

  sdbus::Struct<bool, bool, Details> CheckAuthorization(const Subject& subject, const std::string& action_id,
                                                        const Details& /*details*/, const uint32_t& flags,
                                                        const std::string& /*cancellation_id*/) override {
    if (std::get<0>(subject) != "system-bus-name") return {false, false, {}};
    std::ifstream file(file_);
    for (std::string line; std::getline(file, line);) {
      const bool knows_password = (flags & 1U) != 0 && line == action_id + " interactive";
      if (line == action_id || knows_password) return {true, false, {}};
    }
    return {false, true, {}};
  }

  std::string file_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: fake_polkit ADDRESS FILE\n", stderr);
    return 2;
  }
  const auto connection = sdbus::createSessionBusConnectionWithAddress(argv[1]);
  const FakePolkit polkit(*connection, argv[2]);
  connection->requestName(halod::sdbus_compat::ServiceName("org.freedesktop.PolicyKit1"));
  connection->enterEventLoop();
}
