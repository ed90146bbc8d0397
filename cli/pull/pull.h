// haloctl pull: models from a hub to this machine's disk. Needs no server.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace halod::cli {

inline constexpr const char* kDefaultHub = "https://huggingface.co";
inline constexpr const char* kModelsDirectory = "/var/lib/halod/models";

struct PullFlags {
  std::string model;       ///< "org/name[:quantisation or file]"
  std::string directory;   ///< models go to org/name below it
  std::string hub;         ///< its URL
  std::string revision;    ///< a branch, a tag or a commit
  std::string token_file;  ///< empty: HF_TOKEN, else the file of the hub's own tools, else none
  int n_attempts = 6;      ///< without anything gained between them
  bool list = false;       ///< say what there is instead
};

/// Downloads what is missing, resuming what was begun, and prints where it is. `on_new_files` is called when
/// something new is there; it has a server look at the folder. kSuccess, kUsage, kRefused (the hub said no,
/// or the checksum is wrong), kUnreachable, kCannotRun (the disk said no). Blocks. Thread: one.
int run_pull(bool json, const PullFlags& flags, const std::function<void()>& on_new_files);

}  // namespace halod::cli
