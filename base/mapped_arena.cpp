#include "base/mapped_arena.h"

#include <utility>

namespace halod {
namespace {

Result<std::shared_ptr<MappedMemory>> map(size_t n_bytes) {
  auto memory = MappedMemory::allocate(n_bytes);
  if (!memory) return memory.error();
  return std::make_shared<MappedMemory>(std::move(*memory));
}

}  // namespace

Result<std::shared_ptr<std::byte>> MappedArena::allocate(size_t n_bytes) {
  if (n_bytes == 0) return std::shared_ptr<std::byte>();
  // Large ones have huge pages by themselves, and would leave most of a chunk behind unused.
  if (n_bytes > kChunkBytes / 2) {
    auto own = map(n_bytes);
    if (!own) return own.error();
    return std::shared_ptr<std::byte>(*own, (*own)->data());
  }
  if (!chunk_ || n_bytes > chunk_->size() - used_) {
    auto chunk = map(kChunkBytes);
    if (!chunk) return chunk.error();
    chunk_ = std::move(*chunk);
    used_ = 0;
  }
  std::byte* data = chunk_->data() + used_;
  used_ += (n_bytes + kAlignment - 1) / kAlignment * kAlignment;
  return std::shared_ptr<std::byte>(chunk_, data);
}

}  // namespace halod
