// What somebody meant who has written a key that does not exist.
#pragma once

#include <span>
#include <string_view>

namespace halod {

/// The known key that differs least from `key`; empty when none is near. Thread: any.
std::string_view nearest_key(std::string_view key, std::span<const std::string_view> known);

}  // namespace halod
