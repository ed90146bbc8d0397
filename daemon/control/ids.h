// Names for things that would otherwise all be numbers.
#pragma once

#include <cstdint>

namespace halod {

/// A model that halod knows, from when it was found until halod ends; not what the engine calls it.
enum class ModelId : uint32_t {};
enum class JobId : uint32_t {};

constexpr uint32_t to_int(ModelId id) { return static_cast<uint32_t>(id); }
constexpr uint32_t to_int(JobId id) { return static_cast<uint32_t>(id); }

}  // namespace halod
