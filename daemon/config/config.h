// Everything that an administrator can set: plain values with their defaults. etc/halod.yaml documents the
// same keys for its readers; config_fields.cpp holds the ranges that the loader checks.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace halod {

struct HttpConfig {
  std::string listen = "127.0.0.1:8000";  ///< HOST:PORT; port 0 = any free one
  uint32_t max_connections = 1024;        ///< 1 … 65536; more are closed at once
  uint64_t max_header_bytes = 64 << 10;   ///< bytes, 1 KiB … 1 MiB, request line included; larger → 431
  uint64_t max_body_bytes = 32 << 20;     ///< bytes, 1 KiB … 1 GiB; larger → 413
  std::chrono::milliseconds idle_timeout{75'000};  ///< 1 s … 1 h: between the requests of one connection
  std::chrono::milliseconds read_timeout{
      30'000};  ///< 100 ms … 1 h: for the header, and for each piece of a body
  std::chrono::milliseconds write_timeout{
      120'000};                       ///< 100 ms … 1 h: a client that takes nothing for so long is dropped
  std::string allow_origin;           ///< CORS: empty = no headers; "*" or one origin
  std::vector<std::string> api_keys;  ///< empty = open to whoever reaches the port
  std::string api_keys_file;          ///< more of them, one a line (key_file.h); empty = no file
  std::vector<std::string> admin_keys;  ///< empty = no /v1/admin routes
  std::string admin_keys_file;          ///< as api_keys_file
};

/// One model of models.list.
struct ModelEntryConfig {
  std::string path;                  ///< GGUF file, or a folder with config.json and safetensors
  std::string name;                  ///< name in the API; empty = the file's or folder's name without .gguf
  std::vector<std::string> aliases;  ///< other names that clients may use
  std::string chat_template_file;    ///< Jinja file to use instead of the model's own template
  bool pinned = false;               ///< never unloaded to make room
  std::chrono::milliseconds time_to_live{
      0};                       ///< 0 … 30 days; unloaded when unused for so long; 0 = models.time_to_live
  uint32_t context_length = 0;  ///< as in EngineConfig; 0 = what that says
  uint32_t max_sequences = 0;
  uint64_t kv_cache_tokens = 0;

  friend bool operator==(const ModelEntryConfig&, const ModelEntryConfig&) = default;
};

struct ModelsConfig {
  std::string directory;  ///< searched for *.gguf files and model folders, folders below it too; empty = none
  std::string default_model;  ///< loaded at the start and meant by requests that name none; empty = the first
  bool load_on_request = true;  ///< a request for a model that is not loaded loads it
  uint32_t max_resident = 0;    ///< models in memory at once, 0 … 64; 0 = as many as fit
  std::string swap_policy =
      "drain";  ///< drain, pause: what becomes of requests that run on a model that goes
  std::chrono::milliseconds drain_timeout{30'000};  ///< 0 … 1 h: those that did not finish by then are paused
  std::chrono::milliseconds wait_timeout{120'000};  ///< 1 s … 1 h: how long a request waits for its model
  std::chrono::milliseconds time_to_live{0};        ///< 0 … 30 days: unused models go after it; 0 = never
  std::vector<ModelEntryConfig> list;               ///< the models that need settings of their own
  std::string bundled_model;  ///< not a key: served while list and directory have none; empty = none
};

struct EngineConfig {
  std::string binary;               ///< halo-engine; empty = beside halod, then ../libexec
  std::string backend = "auto";     ///< auto, cpu, hip
  uint32_t n_threads = 0;           ///< 0 … 1024; 0 = one per physical core
  std::string gpu_graphs = "auto";  ///< auto (off, until it is measured), on, off
  uint32_t context_length = 0;      ///< tokens per sequence, 0 … 16 Mi; 0 = the model's own
  uint32_t max_sequences = 0;       ///< sequences in the running batch, 0 … 4096; 0 = 8
  uint64_t kv_cache_tokens = 0;     ///< tokens of all sequences, 0 … 2^40; 0 = bounded by memory
  uint32_t prefill_chunk = 0;       ///< tokens per step at most, 0 … 65536; 0 = 512
  std::string tuning_mode = "use";  ///< off, use, tune, background: engine.tuning.mode
  std::chrono::milliseconds tuning_budget{20'000};      ///< 0 … 1 h: engine.tuning.budget, of tune
  std::chrono::milliseconds heartbeat_interval{1'000};  ///< 10 ms … 1 min
  std::chrono::milliseconds heartbeat_timeout{
      120'000};  ///< 100 ms … 1 h: no answer for so long = hung, killed, restarted
  std::chrono::milliseconds restart_delay_min{100};     ///< 1 ms … 1 min; doubles with each death
  std::chrono::milliseconds restart_delay_max{10'000};  ///< 1 ms … 1 h
  std::chrono::milliseconds healthy_after{
      60'000};  ///< 1 ms … 1 h: so long without a death starts the delay afresh
  uint32_t max_deaths_per_request =
      3;  ///< 1 … 100: engine deaths in a row, without a token between, before a request is failed
};

struct LimitsConfig {
  uint32_t max_requests = 256;  ///< sequences running and waiting together, 1 … 65536; more → 429
  uint32_t text_threads = 2;    ///< threads that tokenize and render, 1 … 64
  std::chrono::milliseconds shutdown_timeout{10'000};  ///< 0 … 1 h: to finish requests after SIGTERM
};

/// Sampling of requests that do not say: what the administrator wrote, else what the model's
/// generation_config.json has, else OpenAI's defaults.
struct DefaultsConfig {
  std::string generation_config = "auto";  ///< auto; none: models' own parameters are left out
  double temperature = 1.0;                ///< 0 … 2
  double top_p = 1.0;                      ///< > 0 … 1
  uint32_t top_k = 0;                      ///< 0 … 1 Mi; 0 = off
  double min_p = 0.0;                      ///< 0 … < 1
  double repetition_penalty = 1.0;         ///< > 0 … 10
  double presence_penalty = 0.0;           ///< -2 … 2
  double frequency_penalty = 0.0;          ///< -2 … 2
  uint32_t max_tokens = 0;  ///< of a chat answer, 0 … 16 Mi; 0 = what the context has room for
  /// Keys that somebody wrote down, "temperature"; not a key itself.
  std::set<std::string, std::less<>> given = {};

  /// Of any section's key that was read, "defaults.temperature".
  void note_given(std::string_view key) {
    constexpr std::string_view kSection = "defaults.";
    if (key.starts_with(kSection)) given.emplace(key.substr(kSection.size()));
  }
};

struct LogConfig {
  std::string level = "info";  ///< trace, debug, info, warning, error, critical
};

struct DBusConfig {
  std::string bus =
      "auto";           ///< system, session, none; auto = that of the systemd that started halod, else none
  std::string address;  ///< of another bus instead, as "unix:path=/run/bus"; empty = the usual one
};

struct PowerConfig {
  std::string hold_profile = "off";  ///< off, performance: the machine's power profile while there is work
  std::chrono::milliseconds release_after{30'000};  ///< 0 … 1 h: it is held so long after the last work
};

struct Config {
  HttpConfig http;
  ModelsConfig models;
  EngineConfig engine;
  LimitsConfig limits;
  DefaultsConfig defaults;
  LogConfig log;
  DBusConfig dbus;
  PowerConfig power;
  /// Not a key: what is allowed and yet not as it should be, a sentence each, for the log.
  std::vector<std::string> warnings = {};
};

}  // namespace halod
