// Integers that must not be swapped by accident.
#pragma once

#include <cstdint>
#include <functional>

namespace halod {

/// A vocabulary entry. Negative values never name one.
enum class TokenId : int32_t {};
/// One generation request over its whole life, restarts of the engine included. Unique per halod process.
enum class RequestId : uint64_t {};
/// One fixed-size page of the KV pool.
enum class PageId : uint32_t {};

constexpr int32_t to_int(TokenId id) { return static_cast<int32_t>(id); }
constexpr uint64_t to_int(RequestId id) { return static_cast<uint64_t>(id); }
constexpr uint32_t to_int(PageId id) { return static_cast<uint32_t>(id); }

}  // namespace halod
