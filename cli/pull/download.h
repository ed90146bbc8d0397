// One file of a repository, brought to the disk whole or not at all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "base/error.h"
#include "cli/pull/http_transfer.h"
#include "cli/pull/selection.h"

namespace halod::cli {

enum class DownloadResult : uint8_t { kDownloaded, kWasThere };

struct DownloadProgress {
  bool checking = false;    ///< what is on the disk already is read for its checksum; else bytes arrive
  uint64_t bytes_done = 0;  ///< of the file
};

/// Bytes gather in a hidden file beside the target, whose name has the checksum in it, so that a later call
/// goes on where an interrupted one was, and never with another version's bytes. The target appears by
/// renaming, once size and checksum are right. A target that is right already is left alone. Whatever passes
/// (a cut connection, a busy hub) is tried again. Errors: kIo with the path (disk full, no permission);
/// kUnavailable (attempts used up; what came is kept); kCorruptFile (wrong checksum twice; the bytes are
/// removed); kQueueFull when another process downloads the same file; those of hub_refusal(). Blocks. Thread:
/// one.
Result<DownloadResult> download_file(HttpTransfer& transfer, const std::string& url, const HubFile& file,
                                     const std::filesystem::path& target, int n_attempts,
                                     const std::function<void(const DownloadProgress&)>& on_progress);

/// Bytes of `file` that an interrupted download has left for `target`. Thread: any.
uint64_t bytes_kept(const HubFile& file, const std::filesystem::path& target);

}  // namespace halod::cli
