#include "cli/doctor/disk_speed.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace halod::cli {

namespace fs = std::filesystem;

namespace {

// Large enough for an NVMe drive's full speed from one thread, as the engine's reads are.
constexpr size_t kReadBytes = 8 << 20;
constexpr size_t kAlignment = 4096;

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

class File {
 public:
  File(const fs::path& path, int flags) : fd_(::open(path.c_str(), flags)) {}
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

std::optional<fs::path> largest_model_file(const fs::path& folder) {
  std::optional<fs::path> largest;
  uint64_t largest_bytes = 0;
  std::error_code ec;
  const auto options = fs::directory_options::skip_permission_denied;
  for (fs::recursive_directory_iterator it(folder, options, ec), end; !ec && it != end; it.increment(ec)) {
    std::error_code ignored;
    if (it->path().extension() != ".gguf" || !it->is_regular_file(ignored)) continue;
    const uint64_t bytes = it->file_size(ignored);
    if (ignored || (largest && bytes <= largest_bytes)) continue;
    largest = it->path();
    largest_bytes = bytes;
  }
  return largest;
}

Result<DiskSpeed> measure_disk_speed(const fs::path& path, uint64_t max_bytes) {
  const File file(path, O_RDONLY | O_CLOEXEC | O_DIRECT);
  const auto failure = [&path](int code) {
    // EINVAL is how file systems without direct reads answer.
    const ErrorCode kind = code == EINVAL ? ErrorCode::kUnsupported : ErrorCode::kIo;
    return Error{kind, fmt::format("{}: {}", path.string(), std::strerror(code))};
  };
  if (file.fd() < 0) return failure(errno);
  const std::unique_ptr<void, Free> buffer(std::aligned_alloc(kAlignment, kReadBytes));
  if (!buffer) return failure(ENOMEM);
  DiskSpeed speed;
  const auto start = std::chrono::steady_clock::now();
  while (speed.bytes < max_bytes) {
    const ssize_t n = ::pread(file.fd(), buffer.get(), kReadBytes, static_cast<off_t>(speed.bytes));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failure(errno);
    speed.bytes += static_cast<uint64_t>(n);
    if (static_cast<size_t>(n) < kReadBytes) break;  // the file's end
  }
  speed.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return speed;
}

}  // namespace halod::cli
