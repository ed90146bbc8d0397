// May these requests be queued? Checked once, before anything is sent to the engine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/error.h"
#include "runtime/engine/request.h"

namespace halod {

struct AdmissionLimits {
  size_t n_unfinished = 0;      ///< sequences running and waiting already
  size_t max_requests = 0;      ///< and how many there may be
  uint32_t context_length = 0;  ///< tokens per sequence
  uint32_t vocab_size = 0;
};

/// Checks all of `requests` (the choices of one API call: all or none) and gives a `max_tokens` of 0 the room
/// that the context has. Errors: kInvalidArgument (empty prompt, token id outside the vocabulary),
/// kContextOverflow, kQueueFull. Thread: any.
Result<> admit(std::span<GenerationRequest> requests, const AdmissionLimits& limits);

}  // namespace halod
