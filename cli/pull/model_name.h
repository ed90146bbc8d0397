// What `haloctl pull` is asked for: "org/name", "org/name:Q4_K_M", "org/name:file.gguf".
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace halod::cli {

struct PullName {
  std::string repository;  ///< "org/name"
  std::string selection;   ///< a quantisation or a file of the repository; empty: the usual choice

  friend bool operator==(const PullName&, const PullName&) = default;
};

/// Takes the page's address too ("https://huggingface.co/org/name", "hf.co/org/name"). Errors:
/// kInvalidArgument. Thread: any.
Result<PullName> parse_pull_name(std::string_view text);

}  // namespace halod::cli
