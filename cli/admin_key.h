// Where haloctl gets its key from.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace halod::cli {

inline constexpr const char* kAdminKeyFile = "/etc/halod/admin.key";

/// Whether a URL names this machine: 127.0.0.0/8, ::1 or localhost.
bool is_loopback(std::string_view url);

/// `given` when it is not empty. Else the first line of the key file, where it can be read and the server is
/// this machine's: the key of one machine is never shown to another. Else empty.
std::string choose_api_key(const std::string& given, std::string_view url,
                           const std::filesystem::path& key_file = kAdminKeyFile);

}  // namespace halod::cli
