// Who may use the API.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace halod {

/// `authorization`: the header's value. True when `keys` is empty. The comparison takes as long for a wrong
/// key as for a right one of its length, so that time tells nothing. Thread: any.
bool is_authorized(const std::vector<std::string>& keys, std::string_view authorization);

}  // namespace halod
