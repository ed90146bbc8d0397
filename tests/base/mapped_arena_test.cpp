#include "base/mapped_arena.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace halod {
namespace {

constexpr size_t kHugePage = 2 << 20;

uintptr_t address(const std::byte* p) { return reinterpret_cast<uintptr_t>(p); }

bool is_mapped(std::byte* p) {
  unsigned char in_core = 0;
  return mincore(reinterpret_cast<void*>(address(p) / 4096 * 4096), 1, &in_core) == 0;
}

TEST(MappedMemory, BeginsWhereAHugePageCan) {
  for (const size_t n_bytes : {kHugePage, kHugePage + 1, size_t{5'000'000}}) {
    const MappedMemory memory = MappedMemory::allocate(n_bytes).value();
    EXPECT_EQ(address(memory.data()) % kHugePage, 0U);
    EXPECT_EQ(memory.size(), n_bytes);
    memory.bytes().front() = memory.bytes().back() = std::byte{1};
  }
}

TEST(MappedArena, PutsSmallBuffersSideBySide) {
  MappedArena arena;
  std::vector<std::shared_ptr<std::byte>> buffers;
  for (int i = 0; i < 200; ++i) {
    buffers.push_back(arena.allocate(1'000'001).value());
    EXPECT_EQ(address(buffers.back().get()) % MappedArena::kAlignment, 0U);
    EXPECT_TRUE(std::all_of(buffers.back().get(), buffers.back().get() + 1'000'001,
                            [](std::byte b) { return b == std::byte{0}; }));
    std::fill_n(buffers.back().get(), 1'000'001, static_cast<std::byte>(i + 1));
  }
  for (size_t i = 0; i < buffers.size(); ++i) {
    EXPECT_EQ(buffers[i].get()[0], static_cast<std::byte>(i + 1));
    EXPECT_EQ(buffers[i].get()[1'000'000], static_cast<std::byte>(i + 1));
  }
  EXPECT_EQ(buffers[1].get() - buffers[0].get(), 1'000'064);
}

TEST(MappedArena, LetsLargeBuffersLeaveItsChunkToSmallOnes) {
  MappedArena arena;
  const auto first = arena.allocate(100).value();
  const auto large = arena.allocate(MappedArena::kChunkBytes + 1).value();
  EXPECT_EQ(address(large.get()) % kHugePage, 0U);
  large.get()[MappedArena::kChunkBytes] = std::byte{1};
  EXPECT_EQ(arena.allocate(100).value().get() - first.get(), 128);
  EXPECT_EQ(arena.allocate(0).value(), nullptr);
}

TEST(MappedArena, ReturnsAChunkWithItsLastBuffer) {
  auto arena = std::make_unique<MappedArena>();
  auto first = arena->allocate(100).value(), second = arena->allocate(100).value();
  std::byte* const at = second.get();
  arena.reset();
  first.reset();
  EXPECT_TRUE(is_mapped(at));
  *at = std::byte{1};
  second.reset();
  EXPECT_FALSE(is_mapped(at));
}

}  // namespace
}  // namespace halod
