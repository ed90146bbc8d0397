#include "daemon/http/api_keys.h"

#include <boost/beast/core/string.hpp>

namespace halod {
namespace {

constexpr std::string_view kScheme = "Bearer ";

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  volatile unsigned char difference =
      a.size() == b.size() ? 0 : 1;  // volatile: the compiler may not leave early
  for (size_t i = 0; i < a.size(); ++i) {
    const auto other = b.empty() ? '\0' : b[i % b.size()];
    difference = static_cast<unsigned char>(
        difference | (static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(other)));
  }
  return difference == 0;
}

}  // namespace

bool is_authorized(const std::vector<std::string>& keys, std::string_view authorization) {
  if (keys.empty()) return true;
  if (authorization.size() < kScheme.size()) return false;
  if (!boost::beast::iequals({authorization.data(), kScheme.size()}, {kScheme.data(), kScheme.size()}))
    return false;
  const std::string_view given = authorization.substr(kScheme.size());
  bool found = false;
  for (const std::string& key : keys) found = equal_in_constant_time(given, key) || found;
  return found;
}

}  // namespace halod
