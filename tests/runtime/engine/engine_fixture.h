// An engine over the fake model.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "runtime/engine/engine.h"
#include "tests/support/fake_model.h"
#include "tests/support/recording_sink.h"

namespace halod::testing_support {

struct FakeEngine {
  explicit FakeEngine(const EngineOptions& options = {}, int64_t n_pages = 64, int64_t context_length = 256,
                      bool is_recurrent = false)
      : model({.context_length = context_length,
               .n_kv_pages = n_pages,
               .max_batch_tokens = max_batch_tokens(options),
               .max_logit_rows = options.max_sequences,
               .is_recurrent = is_recurrent}),
        engine(model, options, sink) {}

  void run() {
    for (int i = 0; engine.step(); ++i) ASSERT_LT(i, 100000) << "the engine does not come to an end";
  }

  FakeModel model;
  RecordingSink sink;
  Engine engine;
};

inline std::vector<int32_t> make_prompt(size_t n, uint32_t salt) {
  std::vector<int32_t> prompt(n);
  for (size_t i = 0; i < n; ++i) prompt[i] = static_cast<int32_t>((salt * 31 + i * (salt % 7 + 1)) % 61);
  return prompt;
}

inline GenerationRequest make_request(uint64_t id, size_t n_prompt, uint32_t max_tokens,
                                      SamplingParams sampling = {.temperature = 0}) {
  sampling.seed = id * 77;
  return {.request_id = id,
          .prompt = make_prompt(n_prompt, static_cast<uint32_t>(id)),
          .max_tokens = max_tokens,
          .sampling = std::move(sampling)};
}

/// What the request answers when nothing else runs and nothing is cached.
inline std::vector<int32_t> answer_alone(const GenerationRequest& request) {
  FakeEngine alone({.prefill_chunk = 4096, .prefix_caching = false});
  alone.engine.submit(request);
  alone.run();
  return alone.sink.answers[request.request_id];
}

}  // namespace halod::testing_support
