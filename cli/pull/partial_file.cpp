#include "cli/pull/partial_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

namespace halod::cli {
namespace {

constexpr size_t kReadBytes = size_t{1} << 20;

Error failed(const std::filesystem::path& path, const char* what) {
  return {ErrorCode::kIo,
          fmt::format("{}: {}: {}", path.string(), what, std::system_category().message(errno))};
}

Checksum checksum_of(const HubFile& file) {
  return file.sha256.empty() ? Checksum::git_blob(file.bytes) : Checksum::sha256();
}

bool is_checksum_of(const HubFile& file, const std::string& checksum) {
  return checksum == (file.sha256.empty() ? file.git_sha1 : file.sha256);
}

/// Adds the file from its beginning to `checksum`; the bytes read.
Result<uint64_t> read_all(int fd, const std::filesystem::path& path, Checksum& checksum,
                          const ReadProgress& on_read) {
  std::vector<std::byte> buffer(kReadBytes);
  uint64_t offset = 0;
  while (true) {
    const ssize_t n_read = ::pread(fd, buffer.data(), buffer.size(), static_cast<off_t>(offset));
    if (n_read < 0 && errno == EINTR) continue;
    if (n_read < 0) return failed(path, "reading");
    if (n_read == 0) return offset;
    checksum.add(std::span(buffer).first(static_cast<size_t>(n_read)));
    offset += static_cast<uint64_t>(n_read);
    on_read(offset);
  }
}

}  // namespace

Result<bool> holds(const std::filesystem::path& path, const HubFile& file, const ReadProgress& on_read) {
  std::error_code error;
  const uint64_t size = std::filesystem::file_size(path, error);
  if (error || size != file.bytes) return false;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return failed(path, "opening");
  Checksum checksum = checksum_of(file);
  const auto n_read = read_all(fd, path, checksum, on_read);
  ::close(fd);
  if (!n_read) return n_read.error();
  return is_checksum_of(file, checksum.finish());
}

PartialFile::PartialFile(std::filesystem::path path, const HubFile& file, int fd)
    : path_(std::move(path)), file_(&file), fd_(fd), checksum_(checksum_of(file)) {}

PartialFile::PartialFile(PartialFile&& other) noexcept
    : path_(std::move(other.path_)),
      file_(other.file_),
      fd_(std::exchange(other.fd_, -1)),
      size_(other.size_),
      checksum_(std::move(other.checksum_)) {}

PartialFile::~PartialFile() {
  if (fd_ >= 0) ::close(fd_);
}

Result<PartialFile> PartialFile::open(std::filesystem::path path, const HubFile& file,
                                      const ReadProgress& on_read) {
  // Not through a link that somebody else put there.
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd < 0) return failed(path, "creating");
  PartialFile part(std::move(path), file, fd);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    return Error{ErrorCode::kQueueFull,
                 fmt::format("{} is being downloaded by another process; wait for it", part.path_.string())};
  }
  const auto n_read = read_all(fd, part.path_, part.checksum_, on_read);
  if (!n_read) return n_read.error();
  part.size_ = *n_read;
  if (part.size_ > file.bytes) {
    if (auto restarted = part.restart(); !restarted) return restarted.error();
  }
  return part;
}

Result<> PartialFile::append(std::span<const std::byte> bytes) {
  checksum_.add(bytes);
  while (!bytes.empty()) {
    const ssize_t n_written = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(size_));
    if (n_written < 0 && errno == EINTR) continue;
    if (n_written < 0 && errno == ENOSPC) {
      return Error{
          ErrorCode::kIo,
          fmt::format("{}: the disk is full after {} of {} bytes; make room and pull again, it goes on there",
                      path_.string(), size_, file_->bytes)};
    }
    if (n_written < 0) return failed(path_, "writing");
    size_ += static_cast<uint64_t>(n_written);
    bytes = bytes.subspan(static_cast<size_t>(n_written));
  }
  return {};
}

Result<> PartialFile::restart() {
  if (::ftruncate(fd_, 0) != 0) return failed(path_, "emptying");
  size_ = 0;
  checksum_ = checksum_of(*file_);
  return {};
}

bool PartialFile::is_right() { return is_checksum_of(*file_, checksum_.finish()); }

Result<> PartialFile::move_to(const std::filesystem::path& target) {
  if (::fsync(fd_) != 0) return failed(path_, "writing to the disk");
  if (::rename(path_.c_str(), target.c_str()) != 0) return failed(target, "putting the file there");
  return {};
}

}  // namespace halod::cli
