// What is known of another server's configuration, and the halod.yaml of it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace halod::cli {

/// One entry of models.list. What is empty or 0 is left out.
struct MigratedModel {
  std::string name;
  std::string path;  ///< empty: not a model that halod can be told of; it becomes a comment
  std::vector<std::string> aliases;
  std::string chat_template_file;
  bool pinned = false;
  uint64_t time_to_live_s = 0;
  uint64_t context_length = 0;
  uint64_t max_sequences = 0;
  std::map<std::string, std::string>
      defaults;                    ///< sampling: "temperature" to "0.7"; halod has them for all models
  std::vector<std::string> notes;  ///< a sentence each, without equivalent or to be looked at
};

struct Migration {
  std::string source;  ///< "llama-swap's config.yaml"
  std::vector<MigratedModel> models;
  std::string default_model;
  uint64_t wait_timeout_s = 0;
  std::vector<std::string> notes;  ///< of the whole
};

/// The configuration's text. Sampling that all models agree on becomes `defaults`; the rest is a comment.
/// Values outside of halod's ranges are brought into them, with a comment. Thread: any.
std::string to_yaml(Migration migration);

}  // namespace halod::cli
