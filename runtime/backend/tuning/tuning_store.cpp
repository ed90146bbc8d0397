#include "runtime/backend/tuning/tuning_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <utility>

#include "base/cpu_features.h"
#include "runtime/backend/tuning/kernel_hash.h"

namespace halod {
namespace {

namespace fs = std::filesystem;

// A thousand shapes are 100 kB.
constexpr int64_t kMaxFileBytes = 4 << 20;
constexpr mode_t kReadableByAll = 0644;

std::string system_message() { return std::strerror(errno); }

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

/// Errors: kNotFound; kIo with the reason.
Result<std::string> read_text(const fs::path& file) {
  const auto failed = [&file](const std::string& why) {
    return Error{ErrorCode::kIo, fmt::format("{} cannot be read: {}", file.string(), why), file.string()};
  };
  // O_NONBLOCK: a FIFO in its place must not hold up a start.
  const Descriptor fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  // ENOTDIR: a path that cannot have files is told by whoever writes.
  if (fd.get() < 0 && (errno == ENOENT || errno == ENOTDIR))
    return Error{ErrorCode::kNotFound, fmt::format("{} does not exist", file.string()), file.string()};
  if (fd.get() < 0) return failed(system_message());
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return failed(system_message());
  if (!S_ISREG(status.st_mode)) return failed("it is no regular file");
  if (status.st_size > kMaxFileBytes)
    return failed(fmt::format("it has {} bytes, which no tuning file has; {} are the limit", status.st_size,
                              kMaxFileBytes));
  std::string text(static_cast<size_t>(status.st_size), '\0');
  size_t n_read = 0;
  while (n_read < text.size()) {
    const ssize_t n = ::read(fd.get(), text.data() + n_read, text.size() - n_read);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed(system_message());
    if (n == 0) break;
    n_read += static_cast<size_t>(n);
  }
  text.resize(n_read);
  return text;
}

/// Root writes into the directory of a service that runs as somebody else: the file is to be that one's.
void give_to_owner_of(const fs::path& directory, int fd) {
  struct stat status {};
  if (::geteuid() != 0 || ::stat(directory.c_str(), &status) != 0) return;
  [[maybe_unused]] const int ignored = ::fchown(fd, status.st_uid, status.st_gid);
}

fs::path directory_of(const fs::path& file) { return file.has_parent_path() ? file.parent_path() : "."; }

/// Errors: kIo. REQUIRES: nobody else writes the same temporary file.
Result<> replace(const fs::path& file, const std::string& text) {
  const fs::path temporary = file.string() + ".tmp";
  const auto failed = [&](const char* what) {
    Error error{ErrorCode::kIo,
                fmt::format("{} cannot be written: {}: {}", file.string(), what, system_message()),
                file.string()};
    ::unlink(temporary.c_str());
    return error;
  };
  ::unlink(temporary.c_str());  // what a writer left that was killed, or what somebody put there
  const Descriptor fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kReadableByAll));
  if (fd.get() < 0) return failed("open");
  give_to_owner_of(directory_of(file), fd.get());
  ::fchmod(fd.get(), kReadableByAll);
  for (size_t n_written = 0; n_written < text.size();) {
    const ssize_t n = ::write(fd.get(), text.data() + n_written, text.size() - n_written);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed("write");
    n_written += static_cast<size_t>(n);
  }
  if (::fsync(fd.get()) != 0) return failed("fsync");
  if (::rename(temporary.c_str(), file.c_str()) != 0) return failed("rename");
  return {};
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

/// Between programs: flock on a file of its own, because the file itself is replaced.
class TuningStore::Lock {
 public:
  explicit Lock(const fs::path& file)
      : fd_(::open((file.string() + ".lock").c_str(), O_RDONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK,
                   kReadableByAll)) {
    if (fd_.get() < 0) {
      problem_ =
          Error{ErrorCode::kIo, fmt::format("{}.lock cannot be opened: {}", file.string(), system_message()),
                file.string()};
      return;
    }
    ::fchmod(fd_.get(), kReadableByAll);
    give_to_owner_of(directory_of(file), fd_.get());
    // Holders write a few kilobytes. One that hangs must not make others hang.
    constexpr int kAttempts = 25;
    constexpr std::chrono::milliseconds kPause{20};
    for (int i = 0; i < kAttempts; ++i) {
      if (::flock(fd_.get(), LOCK_EX | LOCK_NB) == 0) return;
      std::this_thread::sleep_for(kPause);
    }
    problem_ = Error{ErrorCode::kUnavailable,
                     fmt::format("{}.lock has been held by another program for {} ms", file.string(),
                                 kAttempts * kPause.count()),
                     file.string()};
  }
  const std::optional<Error>& problem() const { return problem_; }

 private:
  Descriptor fd_;
  std::optional<Error> problem_;
};

fs::path tuning_directory() {
  if (std::string systemd = environment("CACHE_DIRECTORY"); !systemd.empty())
    return systemd.substr(0, systemd.find(':'));  // systemd separates several by colons
  if (const std::string xdg = environment("XDG_CACHE_HOME"); xdg.starts_with('/'))
    return fs::path(xdg) / "halod";
  if (const std::string home = environment("HOME"); home.starts_with('/'))
    return fs::path(home) / ".cache/halod";
  return {};
}

fs::path tuning_file_in(const fs::path& directory, std::string_view device) {
  if (directory.empty()) return {};
  return directory / fmt::format("tuning-{}.csv", device);
}

Validators cpu_validators() {
  const CpuFeatures& features = cpu_features();
  std::string flags;
  if (features.avx2_fma_f16c) flags += "avx2 fma f16c";
  if (features.avx512_vnni) flags += " avx512_vnni";
  if (features.avx512_bf16) flags += " avx512_bf16";
  if (features.amx_int8) flags += " amx_int8";
  return {{"HALOD_TUNING_VERSION", kTuningVersion},
          {"CPU_MODEL", validator_value(cpu_model_name())},
          {"CPU_FLAGS", flags.empty() ? "baseline" : flags},
          {"KERNEL_HASH", std::string(kernel_hash())}};
}

std::string validator_value(std::string text) {
  std::ranges::replace_if(
      text, [](char c) { return c == ',' || c < 0x20 || c >= 0x7f; }, ' ');
  return text;
}

TuningResults TuningStore::read() { return read_locked(true); }

TuningResults TuningStore::read_locked(bool may_set_aside) {
  last_ = stamp();
  const Result<std::string> text = read_text(file_);
  if (!text) {
    if (text.error().code != ErrorCode::kNotFound) warn(text.error().message);
    return {};
  }
  TuningText parsed = parse_tuning(*text);
  if (const std::string difference = first_difference(parsed.validators, validators_); !difference.empty()) {
    std::string what = fmt::format("{} is not used: {}", file_.string(), difference);
    if (may_set_aside) {
      const auto aside = set_aside();
      what += aside ? fmt::format("; it is kept as {}", aside->string()) : "; " + aside.error().message;
    }
    warn(what);
    last_ = stamp();
    return {};
  }
  if (parsed.n_skipped > 0) {
    warn(fmt::format("{}: {} damaged line{} skipped, the first is {}", file_.string(), parsed.n_skipped,
                     parsed.n_skipped == 1 ? " is" : "s are", parsed.first_problem));
  }
  return std::move(parsed.results);
}

Result<fs::path> TuningStore::set_aside() const {
  // Two builds that take turns leave two files, not one for each start.
  constexpr int kMost = 9;
  for (int i = 1; i <= kMost; ++i) {
    fs::path aside = fmt::format("{}.aside{}", file_.string(), i == 1 ? "" : fmt::format("-{}", i));
    struct stat status {};
    if (::lstat(aside.c_str(), &status) == 0 && i < kMost) continue;
    if (::rename(file_.c_str(), aside.c_str()) == 0) return aside;
    break;
  }
  return Error{ErrorCode::kIo, fmt::format("it cannot be renamed: {}", system_message()), file_.string()};
}

Result<> TuningStore::merge(const TuningResults& results) {
  std::error_code ec;
  fs::create_directories(directory_of(file_), ec);  // what fails is told by what needs it
  const Lock lock(file_);
  if (lock.problem()) return *lock.problem();
  TuningResults all = read_locked(true);
  for (const auto& [key, result] : results) all[key] = result;
  const Result<> written = replace(file_, format_tuning(validators_, all));
  last_ = stamp();
  return written;
}

TuningStore::Stamp TuningStore::stamp() const {
  struct stat status {};
  if (::stat(file_.c_str(), &status) != 0) return {};
  return {status.st_ino, status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
}

bool TuningStore::has_changed() const { return stamp() != last_; }

void TuningStore::warn(const std::string& what) {
  if (!std::exchange(has_warned_, true)) spdlog::warn("tuning: {}", what);
}

Result<TuningResults> import_tuning(const fs::path& file, const Validators& validators) {
  const Result<std::string> text = read_text(file);
  if (!text) return text.error();
  TuningText parsed = parse_tuning(*text);
  if (const std::string difference = first_difference(parsed.validators, validators); !difference.empty()) {
    return Error{
        ErrorCode::kInvalidArgument,
        fmt::format("{} is of another machine or halod: {}; tune here instead", file.string(), difference),
        file.string()};
  }
  if (parsed.n_skipped > 0) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("{} is damaged: {}; export it again", file.string(), parsed.first_problem),
                 file.string()};
  }
  return std::move(parsed.results);
}

Result<> write_tuning(const fs::path& file, const Validators& validators, const TuningResults& results) {
  return replace(file, format_tuning(validators, results));
}

}  // namespace halod
