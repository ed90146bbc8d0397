// A hostile file must not make us allocate: this executable counts every allocation.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "runtime/weights/gguf_file.h"
#include "tests/support/memory_file.h"
#include "tests/support/small_gguf.h"

namespace {

std::atomic<size_t> bytes_allocated = 0;

void* count_and_allocate(size_t n_bytes) {
  bytes_allocated += n_bytes;
  if (void* memory = std::malloc(n_bytes == 0 ? 1 : n_bytes)) return memory;
  throw std::bad_alloc();
}

}  // namespace

void* operator new(size_t n_bytes) { return count_and_allocate(n_bytes); }
void* operator new[](size_t n_bytes) { return count_and_allocate(n_bytes); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }

namespace halod {
namespace {

size_t bytes_allocated_by_opening(const std::filesystem::path& path) {
  const size_t before = bytes_allocated;
  const bool opened = GgufFile::open(path).has_value();
  static_cast<void>(opened);
  return bytes_allocated - before;
}

TEST(OpeningAGguf, AllocatesInProportionToItsSizeWhateverItsCountsSay) {
  const MemoryFile file;
  const std::string valid = to_bytes(small_dense_model());
  // Every 8-byte group once as a huge count and once as one that is just plausible for a larger file.
  for (const uint64_t lie : {~uint64_t{0}, uint64_t{1} << 40, uint64_t{100'000'000}, uint64_t{1} << 20}) {
    for (size_t at = 8; at + sizeof lie <= valid.size(); ++at) {
      std::string bytes = valid;
      bytes.replace(at, sizeof lie, reinterpret_cast<const char*>(&lie), sizeof lie);
      file.set_content(bytes);
      ASSERT_LT(bytes_allocated_by_opening(file.path()), 24 * bytes.size() + 4096) << "byte " << at;
    }
  }
}

TEST(OpeningAGguf, AllocatesLittleForAHeaderWithoutContent) {
  const MemoryFile file;
  std::string bytes = "GGUF";
  bytes.append("\x03\0\0\0", 4).append(16, '\xff').append(1000, '\xff');
  file.set_content(bytes);
  EXPECT_LT(bytes_allocated_by_opening(file.path()), 8192u);
}

}  // namespace
}  // namespace halod
