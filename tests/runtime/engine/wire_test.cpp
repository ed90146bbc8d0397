#include "runtime/engine/wire.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

namespace halod::wire {
namespace {

constexpr uint64_t kHuge = std::numeric_limits<uint64_t>::max() - 1;

/// What the other end reads when `message` is sent.
template <class Message>
Message over_the_wire(FrameType type, const Message& message) {
  FrameParser parser;
  parser.append(encode(type, message));
  const auto frame = parser.next().value();
  EXPECT_TRUE(frame.has_value());
  EXPECT_EQ(frame->type, type);
  EXPECT_FALSE(parser.next().value().has_value());
  return decode<Message>(*frame).value();
}

TEST(AWireMessage, CarriesALoadRequest) {
  const LoadModel sent{.model_id = 4,
                       .path = "/models/a \"quoted\"\n.gguf",
                       .backend = "cpu",
                       .n_threads = 3,
                       .gpu_graphs = "on",
                       .context_length = 40960,
                       .max_sequences = 7,
                       .kv_cache_tokens = uint64_t{1} << 40,
                       .prefill_chunk = 256,
                       .tuning_mode = "background",
                       .tuning_budget_ms = 1500};
  const LoadModel got = over_the_wire(FrameType::kLoad, sent);
  EXPECT_EQ(got.model_id, 4U);
  EXPECT_EQ(got.path, sent.path);
  EXPECT_EQ(got.backend, sent.backend);
  EXPECT_EQ(got.n_threads, sent.n_threads);
  EXPECT_EQ(got.gpu_graphs, sent.gpu_graphs);
  EXPECT_EQ(got.context_length, sent.context_length);
  EXPECT_EQ(got.max_sequences, sent.max_sequences);
  EXPECT_EQ(got.kv_cache_tokens, sent.kv_cache_tokens);
  EXPECT_EQ(got.prefill_chunk, sent.prefill_chunk);
  EXPECT_EQ(got.tuning_mode, sent.tuning_mode);
  EXPECT_EQ(got.tuning_budget_ms, sent.tuning_budget_ms);
}

TEST(AWireMessage, CarriesNewSelections) {
  const Selections got = over_the_wire(
      FrameType::kSelections, Selections{.model_id = 3, .selections = {{"matmul", "Q8_0", "a", "tuned"}}});
  EXPECT_EQ(got.model_id, 3U);
  EXPECT_EQ(got.selections, (std::vector<KernelSelection>{{"matmul", "Q8_0", "a", "tuned"}}));
}

TEST(AWireMessage, CarriesAGenerationRequestExactly) {
  GenerationRequest sent{.request_id = kHuge,
                         .prompt = {0, 151935, 7},
                         .generated = {5},
                         .max_tokens = 4294967295U,
                         .stop_token_ids = {2, 3}};
  sent.sampling = {.temperature = 0.1F,
                   .top_k = 20,
                   .top_p = 0.95F,
                   .min_p = 1e-7F,
                   .repetition_penalty = 1.1F,
                   .presence_penalty = -2.0F,
                   .frequency_penalty = 1.0F / 3.0F,
                   .logit_bias = {{42, -100.0F}, {43, 0.7F}},
                   .seed = kHuge,
                   .n_logprobs = 20};
  const Submit submission = over_the_wire(FrameType::kSubmit, Submit{3, sent});
  EXPECT_EQ(submission.model_id, 3U);
  const GenerationRequest& got = submission.request;
  EXPECT_EQ(got.request_id, sent.request_id);
  EXPECT_EQ(got.prompt, sent.prompt);
  EXPECT_EQ(got.generated, sent.generated);
  EXPECT_EQ(got.max_tokens, sent.max_tokens);
  EXPECT_EQ(got.stop_token_ids, sent.stop_token_ids);
  EXPECT_EQ(got.sampling.temperature, sent.sampling.temperature);
  EXPECT_EQ(got.sampling.top_k, sent.sampling.top_k);
  EXPECT_EQ(got.sampling.top_p, sent.sampling.top_p);
  EXPECT_EQ(got.sampling.min_p, sent.sampling.min_p);
  EXPECT_EQ(got.sampling.repetition_penalty, sent.sampling.repetition_penalty);
  EXPECT_EQ(got.sampling.presence_penalty, sent.sampling.presence_penalty);
  EXPECT_EQ(got.sampling.frequency_penalty, sent.sampling.frequency_penalty);
  ASSERT_EQ(got.sampling.logit_bias.size(), 2U);
  EXPECT_EQ(got.sampling.logit_bias[1].token_id, 43);
  EXPECT_EQ(got.sampling.logit_bias[1].bias, 0.7F);
  EXPECT_EQ(got.sampling.seed, kHuge);
  EXPECT_EQ(got.sampling.n_logprobs, 20);
}

TEST(AWireMessage, CarriesSmallFrames) {
  EXPECT_EQ(over_the_wire(FrameType::kCancel, Cancel{kHuge}).request_id, kHuge);
  EXPECT_EQ(over_the_wire(FrameType::kPing, Ping{kHuge}).nonce, kHuge);
  over_the_wire(FrameType::kShutdown, Empty{});
  EXPECT_EQ(over_the_wire(FrameType::kUnload, Unload{6}).model_id, 6U);
  EXPECT_EQ(over_the_wire(FrameType::kUnloaded, Unloaded{6}).model_id, 6U);
  const Hello hello = over_the_wire(FrameType::kHello, Hello{"0.1.0", 4711});
  EXPECT_EQ(hello.engine_version, "0.1.0");
  EXPECT_EQ(hello.pid, 4711);
  const LoadProgress progress = over_the_wire(FrameType::kLoadProgress, LoadProgress{2, "weights", 3, kHuge});
  EXPECT_EQ(progress.model_id, 2U);
  EXPECT_EQ(progress.stage, "weights");
  EXPECT_EQ(progress.bytes_done, 3U);
  EXPECT_EQ(progress.bytes_total, kHuge);
  const LoadFailure failure =
      over_the_wire(FrameType::kLoadFailed, LoadFailure{5, "out_of_memory", "größer", kHuge, 7});
  EXPECT_EQ(failure.model_id, 5U);
  EXPECT_EQ(failure.needed_bytes, kHuge);
  EXPECT_EQ(failure.available_bytes, 7U);
  EXPECT_EQ(failure.error_code, "out_of_memory");
  EXPECT_EQ(failure.message, "größer");
}

TEST(AWireMessage, CarriesALoadedModel) {
  const ModelLoaded sent{.architecture = "qwen3moe",
                         .backend = "cpu",
                         .device = "8 threads",
                         .vocab_size = 151936,
                         .context_length = 32768,
                         .max_sequences = 8,
                         .kv_cache_tokens = 262144,
                         .weight_bytes = 1,
                         .kv_cache_bytes = 2,
                         .scratch_bytes = 3,
                         .load_seconds = 0.1,
                         .selections = {{"matmul", "Q8_0", "avx2_tiles16"}, {"rope", "", "reference"}}};
  const ModelLoaded got = over_the_wire(FrameType::kLoaded, sent);
  EXPECT_EQ(got.architecture, sent.architecture);
  EXPECT_EQ(got.backend, sent.backend);
  EXPECT_EQ(got.device, sent.device);
  EXPECT_EQ(got.vocab_size, sent.vocab_size);
  EXPECT_EQ(got.context_length, sent.context_length);
  EXPECT_EQ(got.max_sequences, sent.max_sequences);
  EXPECT_EQ(got.kv_cache_tokens, sent.kv_cache_tokens);
  EXPECT_EQ(got.weight_bytes, sent.weight_bytes);
  EXPECT_EQ(got.kv_cache_bytes, sent.kv_cache_bytes);
  EXPECT_EQ(got.scratch_bytes, sent.scratch_bytes);
  EXPECT_EQ(got.load_seconds, sent.load_seconds);
  EXPECT_EQ(got.selections, sent.selections);
}

TEST(AWireMessage, CarriesTokensWithTheirLogprobs) {
  const Tokens sent{{{.request_id = kHuge,
                      .answer_idx = 4,
                      .token_id = 9,
                      .logprob = -0.1F,
                      .top_logprobs = {{9, -0.1F}, {8, -9999.0F}}},
                     {.request_id = 1, .answer_idx = 0, .token_id = 0}}};
  const Tokens got = over_the_wire(FrameType::kTokens, sent);
  ASSERT_EQ(got.tokens.size(), 2U);
  EXPECT_EQ(got.tokens[0].request_id, kHuge);
  EXPECT_EQ(got.tokens[0].answer_idx, 4U);
  EXPECT_EQ(got.tokens[0].token_id, 9);
  EXPECT_EQ(got.tokens[0].logprob, -0.1F);
  ASSERT_EQ(got.tokens[0].top_logprobs.size(), 2U);
  EXPECT_EQ(got.tokens[0].top_logprobs[1].token_id, 8);
  EXPECT_EQ(got.tokens[0].top_logprobs[1].logprob, -9999.0F);
  EXPECT_TRUE(got.tokens[1].top_logprobs.empty());
}

TEST(AWireMessage, CarriesEveryFinishReason) {
  for (const FinishReason reason :
       {FinishReason::stop, FinishReason::length, FinishReason::cancelled, FinishReason::error}) {
    const RequestFinished sent{.request_id = 5,
                               .reason = reason,
                               .error_code = "internal",
                               .error_message = "why",
                               .n_prompt_tokens = 1,
                               .n_cached_tokens = 2,
                               .n_generated_tokens = 3,
                               .prefill_seconds = 0.25,
                               .decode_seconds = 1e-9};
    const RequestFinished got = over_the_wire(FrameType::kFinished, sent);
    EXPECT_EQ(got.request_id, sent.request_id);
    EXPECT_EQ(got.reason, reason);
    EXPECT_EQ(got.error_code, sent.error_code);
    EXPECT_EQ(got.error_message, sent.error_message);
    EXPECT_EQ(got.n_prompt_tokens, sent.n_prompt_tokens);
    EXPECT_EQ(got.n_cached_tokens, sent.n_cached_tokens);
    EXPECT_EQ(got.n_generated_tokens, sent.n_generated_tokens);
    EXPECT_EQ(got.prefill_seconds, sent.prefill_seconds);
    EXPECT_EQ(got.decode_seconds, sent.decode_seconds);
  }
}

TEST(AWireMessage, CarriesAHeartbeat) {
  const ModelStats sent{.model_id = 9,
                        .n_running = 1,
                        .n_waiting = 2,
                        .kv_pages_used = 3,
                        .kv_pages_total = 4,
                        .n_prompt_tokens = 5,
                        .n_generated_tokens = 6,
                        .n_steps = 7,
                        .busy_seconds = 0.5};
  const Pong pong = over_the_wire(FrameType::kPong, Pong{kHuge, {sent, {}}});
  EXPECT_EQ(pong.nonce, kHuge);
  ASSERT_EQ(pong.models.size(), 2U);
  const ModelStats& got = pong.models.front();
  EXPECT_EQ(got.model_id, 9U);
  EXPECT_EQ(got.n_running, 1U);
  EXPECT_EQ(got.n_waiting, 2U);
  EXPECT_EQ(got.kv_pages_used, 3U);
  EXPECT_EQ(got.kv_pages_total, 4U);
  EXPECT_EQ(got.n_prompt_tokens, 5U);
  EXPECT_EQ(got.n_generated_tokens, 6U);
  EXPECT_EQ(got.n_steps, 7U);
  EXPECT_EQ(got.busy_seconds, 0.5);
}

TEST(AFrameParser, FindsTheSameFramesWhereverTheStreamIsCut) {
  const std::string stream = encode(FrameType::kPing, Ping{1}) + encode(FrameType::kShutdown, Empty{}) +
                             encode(FrameType::kPing, Ping{2});
  for (size_t first_cut = 0; first_cut <= stream.size(); ++first_cut) {
    for (size_t second_cut = first_cut; second_cut <= stream.size(); ++second_cut) {
      FrameParser parser;
      std::vector<FrameType> types;
      uint64_t nonces = 0;
      for (const auto& [begin, end] :
           {std::pair{size_t{0}, first_cut}, {first_cut, second_cut}, {second_cut, stream.size()}}) {
        parser.append(std::string_view(stream).substr(begin, end - begin));
        while (const auto frame = parser.next().value()) {
          types.push_back(frame->type);
          if (frame->type == FrameType::kPing) nonces = nonces * 10 + decode<Ping>(*frame)->nonce;
        }
      }
      ASSERT_EQ(types, (std::vector{FrameType::kPing, FrameType::kShutdown, FrameType::kPing}))
          << first_cut << ", " << second_cut;
      ASSERT_EQ(nonces, 12U);
    }
  }
}

TEST(AFrameParser, ReadsABurstOfFramesByteByByte) {
  std::string stream;
  for (uint64_t nonce = 0; nonce < 500; ++nonce) stream += encode(FrameType::kPing, Ping{nonce});
  FrameParser parser;
  uint64_t expected = 0;
  for (const char byte : stream) {
    parser.append({&byte, 1});
    while (const auto frame = parser.next().value()) EXPECT_EQ(decode<Ping>(*frame)->nonce, expected++);
  }
  EXPECT_EQ(expected, 500U);
}

TEST(AFrameParser, RefusesAnotherVersion) {
  std::string bytes = encode(FrameType::kPing, Ping{1});
  bytes[6] = 9;
  FrameParser parser;
  parser.append(bytes);
  const auto frame = parser.next();
  ASSERT_FALSE(frame);
  EXPECT_NE(frame.error().message.find("version 9"), std::string::npos) << frame.error().message;
}

TEST(AFrameParser, RefusesAnOversizedPayloadBeforeItArrives) {
  std::string header = encode(FrameType::kPing, Ping{1}).substr(0, kHeaderBytes);
  header[3] = '\x7f';  // the length's highest byte
  FrameParser parser;
  parser.append(header);
  const auto frame = parser.next();
  ASSERT_FALSE(frame);
  EXPECT_NE(frame.error().message.find(std::to_string(kMaxPayloadBytes)), std::string::npos)
      << frame.error().message;
}

TEST(AFrameDecoder, AnswersWithAnErrorForPayloadsThatAreNotTheMessage) {
  for (const std::string payload : {"", "{", "[]", "null", "{}", "{\"nonce\":-1}", "{\"nonce\":\"1\"}",
                                    "{\"nonce\":1e30}", "{\"nonce\":1.5}", "{\"other\":1}", "\xff\xfe"}) {
    const auto decoded = decode<Ping>(Frame{FrameType::kPing, payload});
    ASSERT_FALSE(decoded) << payload;
    EXPECT_EQ(decoded.error().code, ErrorCode::kInternal);
    EXPECT_NE(decoded.error().message.find("type 4"), std::string::npos) << decoded.error().message;
  }
  const std::string deep(100000, '[');
  EXPECT_FALSE(decode<Ping>(Frame{FrameType::kPing, deep}));
  EXPECT_FALSE(decode<RequestFinished>(Frame{FrameType::kFinished, R"({"reason":"nonsense"})"}));
}

TEST(AFrameDecoder, SurvivesFlippedBits) {
  GenerationRequest request{.request_id = 7, .prompt = {1, 2, 3}, .max_tokens = 5};
  request.sampling.logit_bias = {{1, 2.0F}};
  const std::string bytes = encode(FrameType::kSubmit, Submit{1, request});
  std::mt19937 random(11);
  for (int i = 0; i < 3000; ++i) {
    std::string damaged = bytes;
    for (int flips = 0; flips < 1 + i % 3; ++flips) {
      damaged[random() % damaged.size()] ^= static_cast<char>(1U << (random() % 8));
    }
    FrameParser parser;
    parser.append(damaged);
    const auto frame = parser.next();
    if (frame && *frame)
      static_cast<void>(decode<Submit>(**frame));  // any answer will do, as long as there is one
  }
}

}  // namespace
}  // namespace halod::wire
