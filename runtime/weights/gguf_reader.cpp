#include "runtime/weights/gguf_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace halod {

static_assert(std::endian::native == std::endian::little, "GGUF fields are copied as they are");

std::string printable(std::string_view text) {
  constexpr size_t kMaxShown = 80;
  std::string out;
  for (const char character : text.substr(0, kMaxShown)) {
    if (character >= 0x20 && character < 0x7f) {
      out += character;
    } else {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(character));
    }
  }
  if (text.size() > kMaxShown) out += "...";
  return out;
}

GgufReader::GgufReader(const OpenFile& file) : file_(file), limit_(std::min(file.size(), kMaxHeaderBytes)) {}

void GgufReader::bytes(void* out, uint64_t n, const HeaderField& what) {
  if (n > remaining()) {
    if (limit_ < file_.size()) fail(what, fmt::format("the header goes beyond {} bytes", kMaxHeaderBytes));
    fail(what,
         fmt::format(
             "needs {} bytes at offset {}, but the file has {} bytes, so {} are missing; the download is "
             "probably incomplete, fetch it again",
             n, offset(), file_.size(), n - remaining()));
  }
  auto* target = static_cast<std::byte*>(out);
  while (n > 0) {
    if (position_ == buffer_.size()) {
      constexpr uint64_t kReadAheadBytes = uint64_t{256} << 10;
      buffer_offset_ += buffer_.size();
      position_ = 0;
      buffer_.resize(static_cast<size_t>(std::min(kReadAheadBytes, limit_ - buffer_offset_)));
      file_.read_exactly(buffer_offset_, buffer_).value();
    }
    const auto n_copied = static_cast<size_t>(std::min<uint64_t>(n, buffer_.size() - position_));
    std::memcpy(target, buffer_.data() + position_, n_copied);
    position_ += n_copied;
    target += n_copied;
    n -= n_copied;
  }
}

std::string GgufReader::string(const HeaderField& what) {
  const uint64_t length = count(1, what);
  std::string text(static_cast<size_t>(length), '\0');
  bytes(text.data(), length, what);
  return text;
}

uint64_t GgufReader::count(uint64_t min_bytes_each, const HeaderField& what) {
  const uint64_t value = number<uint64_t>(what);
  if (value > remaining() / min_bytes_each) {
    fail(what,
         fmt::format(
             "{} of at least {} bytes each cannot fit into the {} bytes left of the file ({} bytes); it is "
             "truncated or damaged, fetch it again",
             value, min_bytes_each, remaining(), file_.size()));
  }
  return value;
}

void GgufReader::fail(const HeaderField& what, std::string_view problem) const {
  throw ErrorException(Error{ErrorCode::kCorruptFile,
                             fmt::format("{}: {} '{}': {}", file_.name(), what.kind, what.name, problem),
                             what.name});
}

}  // namespace halod
