// What differs between sdbus-c++ 1.2 (Debian 12) and 2.x (Debian 13, Fedora), in one place. The code
// generated from io.halod.Halod1.xml by each version's own sdbus-c++-xml2cpp has the same shape in both, so
// that objects and proxies need nothing of this but their errors, names and signals.
#pragma once

#include <sdbus-c++/sdbus-c++.h>
#include <systemd/sd-bus.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#if __has_include(<sdbus-c++/VTableItems.h>)
#define HALOD_SDBUS_2 1
#else
#define HALOD_SDBUS_2 0
#endif

namespace halod::sdbus_compat {

/// What an event loop must watch.
struct PollData {
  int fd = -1;
  short events = 0;                                  ///< as in poll(2)
  int event_fd = -1;                                 ///< to watch for reading; -1 = none
  std::optional<std::chrono::microseconds> timeout;  ///< from now
};

/// Who sent the message that is being answered.
struct Caller {
  std::string bus_name;       ///< unique, as ":1.42"
  bool may_be_asked = false;  ///< polkit may ask the user for a password
};

/// Of a message, past the library, which does not offer it.
struct MessageAccess : sdbus::Message {
  static bool allows_interaction(const sdbus::Message& message) {
    auto* raw = static_cast<sd_bus_message*>(message.*(&MessageAccess::msg_));
    return raw && sd_bus_message_get_allow_interactive_authorization(raw) > 0;
  }
  /// The connection's, which the library hides too.
  static sd_bus* bus_of(const sdbus::Message& message) {
    return sd_bus_message_get_bus(static_cast<sd_bus_message*>(message.*(&MessageAccess::msg_)));
  }
};

#if HALOD_SDBUS_2

using AsyncError = std::optional<sdbus::Error>;
using ServiceName = sdbus::ServiceName;

inline sdbus::Error make_error(const std::string& name, const std::string& message) {
  return {sdbus::Error::Name{name}, message};
}
inline bool process_one(sdbus::IConnection& connection) { return connection.processPendingEvent(); }
inline PollData poll_data(const sdbus::IConnection& connection) {
  const auto data = connection.getEventLoopPollData();
  PollData poll{.fd = data.fd, .events = data.events, .event_fd = data.eventFd, .timeout = {}};
  if (const auto timeout = data.getRelativeTimeout(); timeout != std::chrono::microseconds::max())
    poll.timeout = timeout;
  return poll;
}
inline Caller current_caller(const sdbus::IObject& object) {
  const sdbus::Message message = object.getCurrentlyProcessedMessage();
  return {.bus_name = message.getSender(), .may_be_asked = MessageAccess::allows_interaction(message)};
}
inline void emit_changed(sdbus::IObject& object, const char* interface,
                         const std::vector<std::string>& names) {
  object.emitPropertiesChangedSignal(interface, std::vector<sdbus::PropertyName>(names.begin(), names.end()));
}
inline void add_object_manager(sdbus::IConnection& connection, const std::string& path) {
  connection.addObjectManager(sdbus::ObjectPath(path));
}
inline std::unique_ptr<sdbus::IProxy> make_proxy(sdbus::IConnection& connection, const std::string& service,
                                                 const std::string& path) {
  return sdbus::createProxy(connection, sdbus::ServiceName(service), sdbus::ObjectPath(path));
}
inline sdbus::MethodCall make_call(const sdbus::IProxy& proxy, const char* interface, const char* method) {
  return proxy.createMethodCall(sdbus::InterfaceName(interface), sdbus::MethodName(method));
}
/// Waits for the bus. `handle` takes the message as `auto&&`.
template <class Handle>
sdbus::Slot add_match(sdbus::IConnection& connection, const std::string& rule, Handle handle) {
  return connection.addMatch(rule, std::move(handle), sdbus::return_slot);
}

#else

using AsyncError = const sdbus::Error*;
using ServiceName = std::string;

inline sdbus::Error make_error(const std::string& name, const std::string& message) {
  return {name, message};
}
inline bool process_one(sdbus::IConnection& connection) { return connection.processPendingRequest(); }
inline PollData poll_data(const sdbus::IConnection& connection) {
  const auto data = connection.getEventLoopPollData();
  return {.fd = data.fd, .events = data.events, .event_fd = -1, .timeout = data.getRelativeTimeout()};
}
inline Caller current_caller(const sdbus::IObject& object) {
  const sdbus::Message* message = object.getCurrentlyProcessedMessage();
  return {.bus_name = message->getSender(), .may_be_asked = MessageAccess::allows_interaction(*message)};
}
inline void emit_changed(sdbus::IObject& object, const char* interface,
                         const std::vector<std::string>& names) {
  object.emitPropertiesChangedSignal(interface, names);
}
inline void add_object_manager(sdbus::IConnection& connection, const std::string& path) {
  connection.addObjectManager(path, sdbus::floating_slot);
}
inline std::unique_ptr<sdbus::IProxy> make_proxy(sdbus::IConnection& connection, const std::string& service,
                                                 const std::string& path) {
  auto proxy = sdbus::createProxy(connection, service, path);
  proxy->finishRegistration();
  return proxy;
}
inline sdbus::MethodCall make_call(sdbus::IProxy& proxy, const char* interface, const char* method) {
  return proxy.createMethodCall(interface, method);
}
template <class Handle>
sdbus::Slot add_match(sdbus::IConnection& connection, const std::string& rule, Handle handle) {
  return connection.addMatch(rule, std::move(handle));
}

#endif

/// Lets whom this connection calls ask the user for a password
/// (sd_bus_set_allow_interactive_authorization(3)).
inline void allow_interaction(sdbus::IConnection& connection) {
  const auto bus = make_proxy(connection, "org.freedesktop.DBus", "/org/freedesktop/DBus");
  // Never sent: a message is the only thing that knows its connection.
  const sdbus::MethodCall call = make_call(*bus, "org.freedesktop.DBus.Peer", "Ping");
  sd_bus_set_allow_interactive_authorization(MessageAccess::bus_of(call), 1);
}

}  // namespace halod::sdbus_compat
