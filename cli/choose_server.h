// Which server haloctl speaks with, and how.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "cli/admin_key.h"
#include "cli/api_client.h"
#include "cli/control_client.h"

namespace halod::cli {

inline constexpr const char* kDefaultUrl = "http://127.0.0.1:8000";

/// As given by options and the environment; empty: not given.
struct ServerChoice {
  std::string url;
  std::string api_key;
  std::string bus;  ///< system, session, or a bus' address
};

enum class Purpose : uint8_t {
  kLook,    ///< must not start a halod that does not run
  kChange,  ///< the bus may start it
};

/// The server for HTTP; its key comes from the key file where none was given.
Server http_server(const ServerChoice& choice, const std::filesystem::path& key_file = kAdminKeyFile);

/// --bus decides. Else HTTP when a URL or a key is there, because both are about it. Else the system bus when
/// halod is on it, which needs no key; else HTTP at kDefaultUrl. Errors: kUnreachable when --bus names a bus
/// without halod. Blocks.
Reply<std::unique_ptr<ControlClient>> choose_server(const ServerChoice& choice, Purpose purpose,
                                                    const std::filesystem::path& key_file = kAdminKeyFile);

}  // namespace halod::cli
