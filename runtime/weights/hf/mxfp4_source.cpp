#include "runtime/weights/hf/mxfp4_source.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

namespace halod {
namespace {

constexpr int64_t kMxfp4Block = 32;                  // weights that share a scale
constexpr int64_t kCodeBytes = kMxfp4Block / 2;      // of a block
constexpr int64_t kMaxMxfp4Side = int64_t{1} << 24;  // far beyond any real layer

class Mxfp4Source final : public ConvertedRows {
 public:
  Mxfp4Source(const SafetensorsFiles& files, const SafetensorsTensor& blocks, const SafetensorsTensor& scales)
      : ConvertedRows(Format::kMXFP4, {blocks.shape[0], blocks.shape[1], blocks.shape[2] * kMxfp4Block},
                      blocks.shape[1], blocks.shape[2] * kMxfp4Block),
        files_(files),
        blocks_(blocks),
        scales_(scales),
        rows_(blocks.shape[1]),
        blocks_per_row_(blocks.shape[2]) {}

  void prefetch(uint64_t byte_offset, uint64_t n_bytes) const override {
    // Codes are nearly all of a block's bytes.
    const uint64_t block = byte_offset / (kCodeBytes + 1) * kCodeBytes;
    if (block < blocks_.size_bytes) files_.file_of(blocks_).prefetch(blocks_.offset + block, n_bytes);
  }

 private:
  void convert(size_t expert_idx, int64_t first, int64_t n, std::byte* out) const override {
    const auto first_block =
        (static_cast<uint64_t>(expert_idx) * static_cast<uint64_t>(rows_) + static_cast<uint64_t>(first)) *
        static_cast<uint64_t>(blocks_per_row_);
    const auto n_blocks = static_cast<size_t>(n * blocks_per_row_);
    std::vector<std::byte> codes(n_blocks * kCodeBytes), scales(n_blocks);
    files_.read(blocks_, first_block * kCodeBytes, codes).value();
    files_.read(scales_, first_block, scales).value();
    const std::byte* from = codes.data();
    for (size_t block = 0; block < n_blocks; ++block, from += kCodeBytes) {
      *out++ = scales[block];
      // Theirs has neighbours in a byte, GGUF's value j and j + 16.
      const auto code = [from](int64_t i) { return from[i / 2] >> 4 * (i % 2) & std::byte{0x0f}; };
      for (int64_t j = 0; j < kCodeBytes; ++j) *out++ = code(j) | code(j + kCodeBytes) << 4;
    }
  }

  const SafetensorsFiles& files_;
  const SafetensorsTensor& blocks_;
  const SafetensorsTensor& scales_;
  int64_t rows_, blocks_per_row_;
};

}  // namespace

std::unique_ptr<const TensorSource> make_mxfp4_source(const SafetensorsFiles& files,
                                                      const SafetensorsTensor& blocks,
                                                      const SafetensorsTensor& scales) {
  const auto& shape = blocks.shape;
  if (shape.size() != 4 || shape[3] != kCodeBytes ||
      std::ranges::any_of(shape, [](int64_t n) { return n < 1 || n > kMaxMxfp4Side; }) ||
      shape[2] > kMaxMxfp4Side / kMxfp4Block) {
    throw ErrorException(files.error_at(blocks, ErrorCode::kCorruptFile,
                                        fmt::format("has shape [{}], wanted [experts, rows, blocks, {}]",
                                                    fmt::join(shape, ", "), kCodeBytes)));
  }
  files.require(blocks, "U8", shape);
  files.require(scales, "U8", {shape[0], shape[1], shape[2]});
  return std::make_unique<Mxfp4Source>(files, blocks, scales);
}

}  // namespace halod
