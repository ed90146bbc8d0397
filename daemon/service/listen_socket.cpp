#include "daemon/service/listen_socket.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

namespace halod {
namespace {

constexpr std::string_view kHttpName = "http";

/// The names of the sockets that were passed, in their order.
Result<std::vector<std::string>> take_names() {
  char** names = nullptr;
  const int n_sockets = ::sd_listen_fds_with_names(1, &names);
  if (n_sockets < 0) {
    return Error{ErrorCode::kIo, fmt::format("the sockets from the service manager cannot be taken: {}",
                                             std::strerror(-n_sockets))};
  }
  std::vector<std::string> taken;
  for (int i = 0; i < n_sockets; ++i) {
    taken.emplace_back(names[i]);
    std::free(names[i]);
  }
  std::free(names);
  return taken;
}

}  // namespace

Result<std::optional<int>> take_inherited_http_socket() {
  const Result<std::vector<std::string>> names = take_names();
  if (!names) return names.error();
  if (names->empty()) return std::optional<int>();
  size_t chosen = 0;
  for (size_t i = names->size(); i-- > 0;) {
    if ((*names)[i] == kHttpName) chosen = i;
  }
  for (size_t i = 0; i < names->size(); ++i) {
    if (i == chosen) continue;
    spdlog::warn("socket '{}' from the service manager is closed: halod takes one, for HTTP", (*names)[i]);
    ::close(SD_LISTEN_FDS_START + static_cast<int>(i));
  }
  const int fd = SD_LISTEN_FDS_START + static_cast<int>(chosen);
  if (::sd_is_socket_inet(fd, AF_UNSPEC, SOCK_STREAM, 1, 0) <= 0) {
    return Error{
        ErrorCode::kInvalidArgument,
        fmt::format("socket '{}' from the service manager is not a listening TCP socket; its unit needs "
                    "ListenStream= with a port and Accept=no",
                    (*names)[chosen]),
        "http.listen"};
  }
  return std::optional<int>(fd);
}

}  // namespace halod
