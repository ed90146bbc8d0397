// YAML → Config.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/error.h"
#include "daemon/config/config.h"

namespace halod {

/// Reads `path` over the defaults.
/// Errors: kNotFound, kIo; kInvalidArgument as "FILE:LINE:COLUMN: …" for YAML that does not parse, a key that
/// does not exist (with the nearest one that does), a key given twice, a wrong type, a value out of range
/// (with what is allowed).
Result<Config> load_config(const std::filesystem::path& path);

/// The same from memory; `file_name` is for the messages.
Result<Config> parse_config(std::string_view yaml, std::string_view file_name);

/// Checks between fields, and those that files and flags share (the listen address).
/// Errors: kInvalidArgument naming the key.
Result<> validate(const Config& config);

struct ListenAddress {
  std::string host;  ///< an IP address, without brackets
  uint16_t port = 0;
};
/// "127.0.0.1:8000", "[::1]:8000", "localhost:8000". Errors: kInvalidArgument showing what is expected.
Result<ListenAddress> parse_listen_address(std::string_view text);

}  // namespace halod
