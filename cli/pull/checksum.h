// Checksums as the hub gives them.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace halod::cli {

/// A SHA-256, or the SHA-1 that git has of a file: that of "blob LENGTH\0" and its bytes. By OpenSSL. Thread:
/// one at a time.
class Checksum {
 public:
  static Checksum sha256();
  static Checksum git_blob(uint64_t file_bytes);
  Checksum(Checksum&&) noexcept;
  Checksum& operator=(Checksum&&) noexcept;
  ~Checksum();

  void add(std::span<const std::byte> bytes);
  /// In lower-case hexadecimal. Nothing may be added afterwards.
  std::string finish();

 private:
  struct State;
  explicit Checksum(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace halod::cli
