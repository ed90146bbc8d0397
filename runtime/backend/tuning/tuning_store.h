// The tuning file of one device in the cache directory, which daemons and tools share.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/error.h"
#include "runtime/backend/tuning/tuning_text.h"

namespace halod {

/// Where tuning files lie: $CACHE_DIRECTORY, which systemd sets for CacheDirectory=; else halod below
/// $XDG_CACHE_HOME; else ~/.cache/halod. Empty: none of them is known. Thread: any that changes no
/// environment.
std::filesystem::path tuning_directory();
/// "tuning-cpu.csv", "tuning-gfx1151.csv" in it; empty where there is no directory.
std::filesystem::path tuning_file_in(const std::filesystem::path& directory, std::string_view device);

/// What the CPU's results depend on: the file's version, the CPU's model and instructions, and our own
/// kernels.
Validators cpu_validators();
/// A text of another program (a CPU's model, a driver's version) as a validator's value: what the file's
/// grammar has no place for becomes a space.
std::string validator_value(std::string text);
/// Of the file: one of another version is not used.
inline constexpr const char* kTuningVersion = "1";

/// Reads and merges one file. Whatever is wrong with it is logged once, and then there are no results.
/// Writers hold a lock beside the file and replace it by renaming, so readers never see half of one. Thread:
/// one.
class TuningStore {
 public:
  TuningStore(std::filesystem::path file, Validators validators)
      : file_(std::move(file)), validators_(std::move(validators)) {}

  const std::filesystem::path& file() const { return file_; }
  const Validators& validators() const { return validators_; }

  /// What is there and valid here. A file of another machine or build is renamed, so that it is kept.
  TuningResults read();
  /// Adds results to what others have written meanwhile; ours win. Errors: kIo, kUnavailable (the lock is
  /// held).
  Result<> merge(const TuningResults& results);
  /// Whether the file is another than when it was last read or merged.
  bool has_changed() const;

 private:
  struct Stamp {
    uint64_t inode = 0;
    int64_t size = -1, seconds = 0, nanoseconds = 0;
    friend bool operator==(const Stamp&, const Stamp&) = default;
  };
  class Lock;

  Stamp stamp() const;
  TuningResults read_locked(bool may_set_aside);
  Result<std::filesystem::path> set_aside() const;
  void warn(const std::string& what);

  const std::filesystem::path file_;
  const Validators validators_;
  Stamp last_;
  bool has_warned_ = false;
};

/// A file's results, to bring them to another machine or from one. Errors: kNotFound, kIo; kInvalidArgument
/// with both values where its validators are not `validators`, or with the line where one is damaged.
Result<TuningResults> import_tuning(const std::filesystem::path& file, const Validators& validators);
/// Writes a file by way of a temporary one. Errors: kIo.
Result<> write_tuning(const std::filesystem::path& file, const Validators& validators,
                      const TuningResults& results);

}  // namespace halod
