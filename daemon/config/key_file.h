// Keys of the API in files of their own, which secrets of podman and credentials of systemd are.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "daemon/config/config.h"

namespace halod {

/// The keys of a file's text: one a line, without the blanks around it; empty lines and lines that begin with
/// '#' do not count, nor does what follows a blank and '#'. Errors: kInvalidArgument as "FILE:LINE: …", which
/// shows no key, for a key with blanks or bytes in it that an HTTP header cannot carry, and for a file
/// without any: it would open what it is to protect. Thread: any.
Result<std::vector<std::string>> parse_keys(std::string_view text, std::string_view file_name);

/// What to make of a credential that cannot be read: those of a service are its main process' alone, so
/// somebody who checks its configuration cannot.
enum class UnreadCredential : uint8_t { kIsAnError, kIsAWarning };

/// Adds what http.api_keys_file and http.admin_keys_file hold to http.api_keys and http.admin_keys, and to
/// `warnings` that a file may be read by everybody. A path that begins with $CREDENTIALS_DIRECTORY/ is in the
/// folder of that variable, where systemd puts LoadCredential=. Errors: those of parse_keys(); kNotFound and
/// kIo naming key, file and user. Thread: one that may block.
Result<> read_key_files(Config& config, UnreadCredential unread_credential);

}  // namespace halod
