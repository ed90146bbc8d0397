#include "runtime/engine/wire.h"

#include <fmt/format.h>

namespace halod::wire {
namespace {

void append_little_endian(std::string& out, uint64_t value, int n_bytes) {
  for (int i = 0; i < n_bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

uint32_t read_little_endian(std::string_view bytes, size_t offset, int n_bytes) {
  uint32_t value = 0;
  for (int i = 0; i < n_bytes; ++i) {
    value |= static_cast<uint32_t>(static_cast<unsigned char>(bytes[offset + static_cast<size_t>(i)]))
             << (8 * i);
  }
  return value;
}

}  // namespace

std::string frame_bytes(FrameType type, std::string_view payload) {
  HALOD_ASSERT(payload.size() <= kMaxPayloadBytes);
  std::string out;
  out.reserve(kHeaderBytes + payload.size());
  append_little_endian(out, payload.size(), 4);
  append_little_endian(out, static_cast<uint64_t>(type), 2);
  append_little_endian(out, kVersion, 2);
  out.append(payload);
  return out;
}

Error decode_error(FrameType type, std::string_view reason) {
  return {ErrorCode::kInternal,
          fmt::format("engine protocol: frame of type {} cannot be read: {}; halod and halo-engine must come "
                      "from the same build",
                      static_cast<int>(type), reason)};
}

Result<std::optional<Frame>> FrameParser::next() {
  const std::string_view rest = std::string_view(buffer_).substr(consumed_);
  if (rest.size() < kHeaderBytes) return std::optional<Frame>();
  const uint32_t length = read_little_endian(rest, 0, 4);
  const uint32_t version = read_little_endian(rest, 6, 2);
  if (version != kVersion) {
    return Error{ErrorCode::kInternal,
                 fmt::format("engine protocol: version {} where this build speaks {}", version, kVersion)};
  }
  if (length > kMaxPayloadBytes) {
    return Error{ErrorCode::kInternal,
                 fmt::format("engine protocol: a frame of {} bytes is over the limit of {}", length,
                             kMaxPayloadBytes)};
  }
  if (rest.size() < kHeaderBytes + length) return std::optional<Frame>();
  Frame frame{static_cast<FrameType>(read_little_endian(rest, 4, 2)),
              std::string(rest.substr(kHeaderBytes, length))};
  consumed_ += kHeaderBytes + length;
  // Compact only when half is behind us, so that a burst of small frames costs linear time.
  if (consumed_ * 2 >= buffer_.size()) {
    buffer_.erase(0, consumed_);
    consumed_ = 0;
  }
  return std::optional<Frame>(std::move(frame));
}

}  // namespace halod::wire
