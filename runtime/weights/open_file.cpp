#include "runtime/weights/open_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace halod {
namespace {

std::string system_message(int error_number) { return std::generic_category().message(error_number); }

}  // namespace

Result<std::shared_ptr<const OpenFile>> OpenFile::open(const std::filesystem::path& path) {
  // O_NONBLOCK: opening a FIFO by mistake must not hang; regular files ignore it.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) {
    const int error_number = errno;
    const bool is_missing = error_number == ENOENT || error_number == ENOTDIR;
    return Error{is_missing ? ErrorCode::kNotFound : ErrorCode::kIo,
                 fmt::format("{}: cannot be opened: {}", path.string(), system_message(error_number)),
                 path.filename().string()};
  }
  struct stat status = {};
  const bool has_status = fstat(descriptor, &status) == 0;
  const auto size = static_cast<uint64_t>(status.st_size);
  std::shared_ptr<const OpenFile> file(new OpenFile(descriptor, path.filename().string(), size));
  if (!has_status || !S_ISREG(status.st_mode)) {
    return Error{ErrorCode::kIo, fmt::format("{}: is not a regular file", path.string()),
                 path.filename().string()};
  }
  return file;
}

OpenFile::~OpenFile() { ::close(descriptor_); }

Result<> OpenFile::read_exactly(uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    constexpr size_t kMaxBytesPerCall = size_t{1} << 30;  // Linux transfers at most 2 GiB - 4 KiB per call
    const ssize_t n_read =
        ::pread(descriptor_, out.data(), std::min(out.size(), kMaxBytesPerCall), static_cast<off_t>(offset));
    if (n_read < 0 && errno == EINTR) continue;
    if (n_read < 0) {
      return Error{ErrorCode::kIo,
                   fmt::format("{}: reading {} bytes at offset {} failed: {}", name_, out.size(), offset,
                               system_message(errno)),
                   name_};
    }
    if (n_read == 0) {
      return Error{
          ErrorCode::kCorruptFile,
          fmt::format("{}: ends at offset {}, {} bytes too early; it had {} bytes when it was opened", name_,
                      offset, out.size(), size_),
          name_};
    }
    offset += static_cast<uint64_t>(n_read);
    out = out.subspan(static_cast<size_t>(n_read));
  }
  return {};
}

void OpenFile::prefetch(uint64_t offset, uint64_t n_bytes) const {
  if (offset >= size_) return;
  posix_fadvise(descriptor_, static_cast<off_t>(offset),
                static_cast<off_t>(std::min(n_bytes, size_ - offset)), POSIX_FADV_WILLNEED);
}

}  // namespace halod
