// A hub with Hugging Face's interface: what a repository holds, and where its files are.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "cli/pull/http_transfer.h"
#include "cli/pull/selection.h"

namespace halod::cli {

/// A repository as it was at one commit.
struct HubRepository {
  std::string name;    ///< "org/name"
  std::string commit;  ///< so that all files, of a resumed download too, are of one state
  std::vector<HubFile> files;
};

/// Thread: one.
class Hub {
 public:
  /// `url` without a slash at its end. `transfer` outlives the hub.
  Hub(std::string url, HttpTransfer& transfer, int n_attempts)
      : url_(std::move(url)), transfer_(transfer), n_attempts_(n_attempts) {}

  /// `revision`: a branch, a tag or a commit. Errors: kNotFound, kInvalidArgument (the token, or none where
  /// one is needed), kUnavailable after several attempts, kCorruptFile for answers that are no such list.
  /// Blocks.
  Result<HubRepository> repository(const std::string& name, const std::string& revision);

  std::string file_url(const HubRepository& repository, const HubFile& file) const;

 private:
  Result<HttpPage> ask(const std::string& url, const std::string& repository);

  std::string url_;
  HttpTransfer& transfer_;
  int n_attempts_;
};

/// Why a hub refused: what its HTTP status means for the user. Of statuses from 300 on. Thread: any.
Error hub_refusal(int status, const std::string& url, const std::string& repository);

/// Whether to ask again later: it is too busy, or does not work for the moment.
bool is_passing(int status);

}  // namespace halod::cli
