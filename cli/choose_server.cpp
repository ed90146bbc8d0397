#include "cli/choose_server.h"

#include <fmt/format.h>

#include <utility>

#include "base/dbus/bus_names.h"
#include "base/dbus/open_bus.h"
#include "cli/bus/bus_control.h"
#include "cli/http_control.h"

namespace halod::cli {
namespace {

using Client = std::unique_ptr<ControlClient>;

BusPlace place_of(const std::string& bus) {
  if (bus == "system" || bus.empty()) return {};
  if (bus == "session") return {.is_system = false};
  return {.address = bus};
}

/// A client, or why there is none: a sentence's part.
Result<Client> connect_to_bus(const BusPlace& place, Purpose purpose) {
  auto connection = open_bus(place);
  if (!connection) return connection.error();
  const auto presence = find_halod(**connection);
  if (!presence) return presence.error();
  if (*presence == BusPresence::kAbsent) return Error{ErrorCode::kUnavailable, "halod is not there"};
  if (*presence == BusPresence::kActivatable && purpose == Purpose::kLook)
    return Error{ErrorCode::kUnavailable, "halod is not running"};
  return Client(std::make_unique<BusControl>(std::move(*connection), describe(place)));
}

}  // namespace

Server http_server(const ServerChoice& choice, const std::filesystem::path& key_file) {
  Server server{.url = choice.url.empty() ? kDefaultUrl : choice.url};
  server.api_key = choose_api_key(choice.api_key, server.url, key_file);
  return server;
}

Reply<Client> choose_server(const ServerChoice& choice, Purpose purpose,
                            const std::filesystem::path& key_file) {
  const BusPlace place = place_of(choice.bus);
  if (!choice.bus.empty()) {
    auto client = connect_to_bus(place, purpose);
    if (client) return std::move(*client);
    return Failure{
        kUnreachable,
        fmt::format("no {} on {}: {}. Start it (sudo systemctl start halod), or name a server with --url",
                    kBusName, describe(place), client.error().message)};
  }
  const Server server = http_server(choice, key_file);
  if (!choice.url.empty() || !server.api_key.empty())
    return Client(std::make_unique<HttpControl>(ApiClient(server)));
  auto client = connect_to_bus(place, purpose);
  if (client) return std::move(*client);
  return Client(std::make_unique<HttpControl>(
      ApiClient(server),
      fmt::format(". Nor is there {} on {} ({}), where no key is needed: sudo systemctl start halod, or name "
                  "another bus with --bus",
                  kBusName, describe(place), client.error().message)));
}

}  // namespace halod::cli
