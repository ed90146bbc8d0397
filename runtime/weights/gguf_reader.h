// Sequential, bounds-checked reading of a GGUF header.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "runtime/weights/open_file.h"

namespace halod {

/// `text` from a file, safe for a terminal, a log and JSON: other than printable ASCII becomes \xNN, long
/// text is cut.
std::string printable(std::string_view text);

/// What is being read: "tensor 'blk.0.attn_q.weight'" in a message, "blk.0.attn_q.weight" as Error::field.
struct HeaderField {
  std::string kind;  ///< "header field", "metadata key", "tensor" …
  std::string name;  ///< printable
};

/// A buffered cursor over the start of a file. Every read names what is read, for the error's message and
/// field. Throws ErrorException (kCorruptFile, kIo); parse_gguf turns that into a Result. Thread: one.
class GgufReader {
 public:
  /// No real header is near this (the largest vocabularies take 20 MB); it bounds what a hostile large file
  /// can make us allocate.
  static constexpr uint64_t kMaxHeaderBytes = uint64_t{128} << 20;

  /// `file` must outlive the reader.
  explicit GgufReader(const OpenFile& file);

  uint64_t offset() const { return buffer_offset_ + position_; }
  /// Bytes that the header may still take: to the end of the file, or to kMaxHeaderBytes.
  uint64_t remaining() const { return limit_ - offset(); }

  template <class Number>
  Number number(const HeaderField& what) {
    static_assert(std::is_arithmetic_v<Number>);
    Number value;
    if (buffer_.size() - position_ >= sizeof value) {
      std::memcpy(&value, buffer_.data() + position_, sizeof value);
      position_ += sizeof value;
    } else {
      bytes(&value, sizeof value, what);
    }
    return value;
  }

  /// Length-prefixed.
  std::string string(const HeaderField& what);

  /// A count of things that take at least `min_bytes_each`; refuses what cannot fit into the rest of the
  /// file, so that the caller may reserve memory for it.
  uint64_t count(uint64_t min_bytes_each, const HeaderField& what);

  /// kCorruptFile: "<file>: <kind> '<name>': <problem>", field = name.
  [[noreturn]] void fail(const HeaderField& what, std::string_view problem) const;

 private:
  void bytes(void* out, uint64_t n, const HeaderField& what);

  const OpenFile& file_;
  uint64_t limit_;
  uint64_t buffer_offset_ = 0;     // of buffer_[0] in the file
  std::vector<std::byte> buffer_;  // what has been read ahead
  size_t position_ = 0;            // of the next byte in buffer_
};

}  // namespace halod
