#include "cli/admin_key.h"

#include <boost/asio/ip/address.hpp>

#include "base/machine/text_file.h"
#include "cli/api_client.h"

namespace halod::cli {

bool is_loopback(std::string_view url) {
  const Result<ServerAddress> server = parse_server_url(url);
  if (!server) return false;
  boost::system::error_code ec;
  const auto address = boost::asio::ip::make_address(server->host, ec);
  return ec ? server->host == "localhost" : address.is_loopback();
}

std::string choose_api_key(const std::string& given, std::string_view url,
                           const std::filesystem::path& key_file) {
  if (!given.empty() || !is_loopback(url)) return given;
  return read_line(key_file).value_or("");
}

}  // namespace halod::cli
