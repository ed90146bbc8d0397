#include "cli/pull/model_name.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace halod::cli {
namespace {

/// What the hub allows in the names of users and repositories. "." and ".." would leave the folder.
bool is_hub_name(std::string_view name) {
  static constexpr std::string_view kAllowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
  return !name.empty() && name.size() <= 96 && name.front() != '.' &&
         name.find_first_not_of(kAllowed) == std::string_view::npos;
}

std::string_view without_address(std::string_view text) {
  static constexpr std::array<std::string_view, 6> kAddresses = {"https://huggingface.co/",
                                                                 "http://huggingface.co/",
                                                                 "https://hf.co/",
                                                                 "huggingface.co/",
                                                                 "hf.co/",
                                                                 "hf:"};
  for (const std::string_view address : kAddresses) {
    if (text.starts_with(address)) return text.substr(address.size());
  }
  return text;
}

}  // namespace

Result<PullName> parse_pull_name(std::string_view text) {
  const std::string_view path = without_address(text);
  const size_t colon = path.find(':');
  std::string_view repository = path.substr(0, colon);
  if (repository.ends_with('/')) repository.remove_suffix(1);
  const size_t slash = repository.find('/');
  const std::string_view organisation = repository.substr(0, slash);
  const std::string_view name = slash == std::string_view::npos ? "" : repository.substr(slash + 1);
  const bool empty_selection = colon != std::string_view::npos && colon + 1 == path.size();
  if (!is_hub_name(organisation) || !is_hub_name(name) || empty_selection) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("'{}' names no model on the hub; give org/name, org/name:Q4_K_M or "
                             "org/name:file.gguf",
                             text),
                 "model"};
  }
  return PullName{.repository = std::string(repository),
                  .selection = std::string(colon == std::string_view::npos ? "" : path.substr(colon + 1))};
}

}  // namespace halod::cli
