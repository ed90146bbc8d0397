#include "base/dbus/bus_address.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <charconv>

namespace halod {

std::optional<std::string> socket_path_of(std::string_view address) {
  constexpr std::string_view kTransport = "unix:";
  constexpr std::string_view kPath = "path=";
  while (!address.empty()) {
    std::string_view entry = address.substr(0, address.find(';'));
    address.remove_prefix(std::min(address.size(), entry.size() + 1));
    if (!entry.starts_with(kTransport)) continue;
    for (entry.remove_prefix(kTransport.size()); !entry.empty();) {
      const std::string_view pair = entry.substr(0, entry.find(','));
      entry.remove_prefix(std::min(entry.size(), pair.size() + 1));
      if (!pair.starts_with(kPath)) continue;
      std::string path;
      for (size_t i = kPath.size(); i < pair.size(); ++i) {
        int code = pair[i];
        if (pair[i] == '%' && i + 2 < pair.size()) {
          std::from_chars(pair.data() + i + 1, pair.data() + i + 3, code, 16);
          i += 2;
        }
        path.push_back(static_cast<char>(code));
      }
      return path;
    }
  }
  return std::nullopt;
}

Result<> check_socket(const std::string& path) {
  using boost::asio::local::stream_protocol;
  boost::asio::io_context io;
  stream_protocol::socket socket(io);
  boost::system::error_code ec;
  if (path.size() < 100)
    socket.connect(stream_protocol::endpoint(path), ec);  // longer ones the library refuses itself
  if (ec) return Error{ErrorCode::kUnavailable, fmt::format("{}: {}", path, ec.message())};
  return {};
}

}  // namespace halod
