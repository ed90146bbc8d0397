// The framed protocol on the socket pair between halod and halo-engine. docs/formats/engine-wire.md draws the
// bytes.
//
//   0        4        6        8
//   ┌────────┬────────┬────────┬──────────────────────┐
//   │ length │  type  │version │ payload (JSON, UTF-8)│   integers little-endian; length = payload bytes
//   └────────┴────────┴────────┴──────────────────────┘
//
// Both ends come from one build, so there is one version and no negotiation: an unknown type or version ends
// the connection.
#pragma once

#include <boost/describe.hpp>
#include <boost/json/value.hpp>
#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "runtime/engine/request.h"

namespace halod::wire {

inline constexpr uint16_t kVersion = 3;
inline constexpr size_t kHeaderBytes = 8;
/// A 1M-token prompt as JSON is about 8 MB; anything larger is a broken peer.
inline constexpr uint32_t kMaxPayloadBytes = 64U << 20;

enum class FrameType : uint16_t {
  // halod -> engine
  kLoad = 1,      // LoadModel
  kSubmit = 2,    // Submit
  kCancel = 3,    // Cancel
  kPing = 4,      // Ping; answered by kPong from the *engine* thread, so a hung step is seen
  kShutdown = 5,  // Empty: finish nothing, exit 0
  kUnload = 6,    // Unload: of a resident model, or of the one that is being loaded
  // engine -> halod
  kHello = 64,         // Hello, first frame
  kLoadProgress = 65,  // LoadProgress
  kLoaded = 66,        // ModelLoaded
  kLoadFailed = 67,    // LoadFailure
  kTokens = 68,        // Tokens: all tokens of one engine step
  kFinished = 69,      // RequestFinished
  kPong = 70,          // Pong
  kUnloaded = 71,      // Unloaded
  kSelections = 72,    // Selections: after kLoaded, whenever tuning has changed them
};

struct Empty {};
BOOST_DESCRIBE_STRUCT(Empty, (), ())

/// Loads one more model. 0 means "decide from the model and the machine".
struct LoadModel {
  uint32_t model_id = 0;  ///< halod's choice, new with each load of an engine's life
  std::string path;
  std::string backend = "auto";     ///< auto, cpu, hip
  uint32_t n_threads = 0;           ///< 0 = one per physical core
  std::string gpu_graphs = "auto";  ///< auto, on, off
  uint32_t context_length = 0;      ///< tokens per sequence; 0 = the model's own
  uint32_t max_sequences = 0;       ///< sequences in the running batch; 0 = 8
  uint64_t kv_cache_tokens =
      0;  ///< KV pool for all sequences together; 0 = context_length x max_sequences, bounded by memory
  uint32_t prefill_chunk = 0;          ///< tokens computed per step at most; 0 = 512
  std::string tuning_mode = "use";     ///< off, use, tune, background
  uint64_t tuning_budget_ms = 20'000;  ///< of tune: the load waits no longer for it
};
BOOST_DESCRIBE_STRUCT(LoadModel, (),
                      (model_id, path, backend, n_threads, gpu_graphs, context_length, max_sequences,
                       kv_cache_tokens, prefill_chunk, tuning_mode, tuning_budget_ms))

/// Ends a model: its memory is given back, and what it was running is forgotten without a word, because halod
/// keeps every request and knows what to do with it. One that is being loaded ends with kLoadFailed instead.
struct Unload {
  uint32_t model_id = 0;
};
BOOST_DESCRIBE_STRUCT(Unload, (), (model_id))

struct Unloaded {
  uint32_t model_id = 0;
};
BOOST_DESCRIBE_STRUCT(Unloaded, (), (model_id))

struct Submit {
  uint32_t model_id = 0;
  GenerationRequest request;
};
BOOST_DESCRIBE_STRUCT(Submit, (), (model_id, request))

struct Cancel {
  uint64_t request_id = 0;
};
BOOST_DESCRIBE_STRUCT(Cancel, (), (request_id))

struct Ping {
  uint64_t nonce = 0;
};
BOOST_DESCRIBE_STRUCT(Ping, (), (nonce))

struct Hello {
  std::string engine_version;
  int64_t pid = 0;
};
BOOST_DESCRIBE_STRUCT(Hello, (), (engine_version, pid))

struct LoadProgress {
  uint32_t model_id = 0;
  std::string stage;        ///< "weights", "warm-up", "tuning"
  uint64_t bytes_done = 0;  ///< of tuning: selections
  uint64_t bytes_total = 0;
};
BOOST_DESCRIBE_STRUCT(LoadProgress, (), (model_id, stage, bytes_done, bytes_total))

/// Which kernel variant does an operation on this machine; names as in the tables of kernels/ops.
struct KernelSelection {
  std::string operation;  ///< "matmul"
  std::string format;     ///< of the weights or the cache: "Q8_0"; empty where there is none
  std::string variant;    ///< "avx512_vnni_tiles16"
  std::string tuning;     ///< "tuned", "untuned"; empty: there is nothing to choose from

  friend auto operator<=>(const KernelSelection&, const KernelSelection&) = default;
};
BOOST_DESCRIBE_STRUCT(KernelSelection, (), (operation, format, variant, tuning))

struct ModelLoaded {
  uint32_t model_id = 0;
  std::string architecture;  ///< "qwen3moe"
  std::string backend;       ///< the backend that was chosen: "cpu"
  std::string device;        ///< human-readable
  uint32_t vocab_size = 0;
  uint32_t context_length = 0;  ///< tokens per sequence that will be served
  uint32_t max_sequences = 0;
  uint64_t kv_cache_tokens = 0;
  uint64_t weight_bytes = 0;
  uint64_t kv_cache_bytes = 0;
  uint64_t scratch_bytes = 0;
  double load_seconds = 0;
  std::vector<KernelSelection>
      selections;  ///< what computes this model; empty where the backend does not say
};
BOOST_DESCRIBE_STRUCT(ModelLoaded, (),
                      (model_id, architecture, backend, device, vocab_size, context_length, max_sequences,
                       kv_cache_tokens, weight_bytes, kv_cache_bytes, scratch_bytes, load_seconds,
                       selections))

/// What computes a model from now on.
struct Selections {
  uint32_t model_id = 0;
  std::vector<KernelSelection> selections;
};
BOOST_DESCRIBE_STRUCT(Selections, (), (model_id, selections))

struct LoadFailure {
  uint32_t model_id = 0;
  std::string error_code;  ///< to_string(ErrorCode)
  std::string message;
  uint64_t needed_bytes = 0;  ///< for out_of_memory: of everything, and what there is for it
  uint64_t available_bytes = 0;
};
BOOST_DESCRIBE_STRUCT(LoadFailure, (), (model_id, error_code, message, needed_bytes, available_bytes))

struct Tokens {
  std::vector<GeneratedToken> tokens;
};
BOOST_DESCRIBE_STRUCT(Tokens, (), (tokens))

/// What one resident model has done since it was loaded.
struct ModelStats {
  uint32_t model_id = 0;
  uint32_t n_running = 0;
  uint32_t n_waiting = 0;
  uint64_t kv_pages_used = 0;
  uint64_t kv_pages_total = 0;
  uint64_t n_prompt_tokens = 0;  ///< computed
  uint64_t n_generated_tokens = 0;
  uint64_t n_steps = 0;
  double busy_seconds = 0;  ///< time inside steps
};
BOOST_DESCRIBE_STRUCT(ModelStats, (),
                      (model_id, n_running, n_waiting, kv_pages_used, kv_pages_total, n_prompt_tokens,
                       n_generated_tokens, n_steps, busy_seconds))

/// The engine's heartbeat, with the numbers for /metrics.
struct Pong {
  uint64_t nonce = 0;
  std::vector<ModelStats> models;
};
BOOST_DESCRIBE_STRUCT(Pong, (), (nonce, models))

struct Frame {
  FrameType type{};
  std::string payload;
};

/// Header and payload ready to send. Thread: any.
template <class Message>
std::string encode(FrameType type, const Message& message);
/// The payload as a Message. Errors: kInternal naming the frame type (a peer of another build).
template <class Message>
Result<Message> decode(const Frame& frame);

/// Cuts a byte stream into frames. Feed what arrived; take frames until it returns nothing.
/// Errors: kInternal for a wrong version or an oversized payload; the stream is then unusable. Thread: one.
class FrameParser {
 public:
  void append(std::string_view bytes) { buffer_.append(bytes); }
  /// The next whole frame; an empty optional when more bytes are needed.
  Result<std::optional<Frame>> next();

 private:
  std::string buffer_;
  size_t consumed_ = 0;
};

}  // namespace halod::wire

#include "runtime/engine/wire_codec.h"  // the templates above
