#include "cli/pull/download.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "cli/pull/hub.h"
#include "cli/pull/partial_file.h"
#include "cli/pull/patience.h"

namespace halod::cli {
namespace {

namespace fs = std::filesystem;

fs::path partial_path(const HubFile& file, const fs::path& target) {
  const std::string& checksum = file.sha256.empty() ? file.git_sha1 : file.sha256;
  return target.parent_path() /
         fmt::format(".{}.{}.part", target.filename().string(), checksum.substr(0, 16));
}

/// Asks for what is missing once. The error of the disk, if there was one, else what came of the request.
Result<HttpHead> request_rest(HttpTransfer& transfer, const std::string& url, const HubFile& file,
                              PartialFile& part,
                              const std::function<void(const DownloadProgress&)>& on_progress) {
  std::optional<Error> our_error;
  bool is_first = true;
  const uint64_t offset = part.size();
  const auto sink = [&](const HttpHead& head, std::span<const std::byte> bytes) {
    const auto fails = [&our_error](Error error) {
      our_error = std::move(error);
      return false;
    };
    // A server without ranges answers 200 and begins anew.
    if (std::exchange(is_first, false) && offset > 0 && head.range_begin.value_or(0) != offset) {
      if (head.range_begin.value_or(0) != 0) {
        return fails(
            {ErrorCode::kUnavailable, fmt::format("{} sent the bytes from {} on, asked for those from {}",
                                                  url, *head.range_begin, offset)});
      }
      if (auto restarted = part.restart(); !restarted) return fails(restarted.error());
    }
    if (part.size() + bytes.size() > file.bytes) {
      return fails(
          {ErrorCode::kCorruptFile, fmt::format("{} sent more than the {} bytes that the hub lists for {}",
                                                url, file.bytes, file.path)});
    }
    if (auto appended = part.append(bytes); !appended) return fails(appended.error());
    on_progress({.checking = false, .bytes_done = part.size()});
    return true;
  };
  auto head = transfer.download(url, offset, sink);
  if (our_error) return *our_error;
  return head;
}

/// Until all bytes are there.
Result<> request_all(HttpTransfer& transfer, const std::string& url, const HubFile& file, PartialFile& part,
                     int n_attempts, const std::function<void(const DownloadProgress&)>& on_progress) {
  Patience patience(n_attempts);
  while (part.size() < file.bytes) {
    const uint64_t before = part.size();
    const auto head = request_rest(transfer, url, file, part, on_progress);
    if (part.size() > before) patience.renew();
    if (head && head->status < 300 && part.size() == file.bytes) break;
    Error error = !head ? head.error()
                  : head->status >= 300
                      ? hub_refusal(head->status, url, file.path)
                      : Error{ErrorCode::kUnavailable,
                              fmt::format("{} ended after {} of {} bytes", url, part.size(), file.bytes)};
    // 416: the server's file is shorter than what is here, so these bytes are not its.
    if (head && head->status == 416) {
      if (auto restarted = part.restart(); !restarted) return restarted;
      error.code = ErrorCode::kUnavailable;
    }
    const auto retry_after = head ? head->retry_after : std::nullopt;
    if (error.code != ErrorCode::kUnavailable || !patience.wait(error, retry_after)) return error;
  }
  return {};
}

}  // namespace

uint64_t bytes_kept(const HubFile& file, const fs::path& target) {
  std::error_code error;
  const uint64_t bytes = fs::file_size(partial_path(file, target), error);
  return error || bytes > file.bytes ? 0 : bytes;
}

Result<DownloadResult> download_file(HttpTransfer& transfer, const std::string& url, const HubFile& file,
                                     const fs::path& target, int n_attempts,
                                     const std::function<void(const DownloadProgress&)>& on_progress) {
  const auto on_read = [&](uint64_t bytes) { on_progress({.checking = true, .bytes_done = bytes}); };
  const auto was_there = holds(target, file, on_read);
  if (!was_there) return was_there.error();
  if (*was_there) return DownloadResult::kWasThere;

  std::error_code error;
  fs::create_directories(target.parent_path(), error);
  if (error) {
    return Error{ErrorCode::kIo, fmt::format("cannot make the folder {}: {}", target.parent_path().string(),
                                             error.message())};
  }
  const fs::path path = partial_path(file, target);
  auto part = PartialFile::open(path, file, on_read);
  if (!part) return part.error();
  // Bytes of an earlier call may have been damaged on the disk since: then once more from the beginning.
  for (bool is_from_start = part->size() == 0;; is_from_start = true) {
    if (auto all = request_all(transfer, url, file, *part, n_attempts, on_progress); !all) return all.error();
    if (part->is_right()) break;
    if (auto restarted = part->restart(); !restarted) return restarted.error();
    if (is_from_start) {
      fs::remove(path, error);
      return Error{
          ErrorCode::kCorruptFile,
          fmt::format("{}: the bytes from {} do not have the checksum that the hub lists ({}); they are "
                      "removed; pull again",
                      file.path, url, file.sha256.empty() ? file.git_sha1 : file.sha256)};
    }
  }
  if (auto moved = part->move_to(target); !moved) return moved.error();
  return DownloadResult::kDownloaded;
}

}  // namespace halod::cli
