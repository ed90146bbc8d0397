// Sockets that systemd opened for halod (socket activation, sd_listen_fds(3)).
#pragma once

#include <optional>

#include "base/error.h"

namespace halod {

/// The listening socket that the HTTP server shall use instead of http.listen: the one named "http", else the
/// first; nothing when none was passed. The caller owns it. Others are closed with a warning. The environment
/// variables are removed, so that nobody else takes them. Call once.
/// Errors: kInvalidArgument when it is not a listening stream socket.
Result<std::optional<int>> take_inherited_http_socket();

}  // namespace halod
