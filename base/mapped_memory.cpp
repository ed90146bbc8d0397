#include "base/mapped_memory.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

namespace halod {

constexpr size_t kHugePageBytes = 2 << 20;

Result<MappedMemory> MappedMemory::allocate(size_t n_bytes) {
  if (n_bytes == 0) return MappedMemory();
  // Where a huge page can begin: what comes before and behind goes back.
  const size_t slack = n_bytes >= kHugePageBytes ? kHugePageBytes : 0;
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE)), kept = (n_bytes + page - 1) / page * page;
  void* address = mmap(nullptr, kept + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) {
    return Error{ErrorCode::kOutOfMemory, fmt::format("the system refused {} bytes of memory", n_bytes)};
  }
  if (slack != 0) {
    auto* first = static_cast<std::byte*>(address);
    const size_t before = -reinterpret_cast<uintptr_t>(first) % kHugePageBytes;
    if (before != 0) munmap(first, before);
    if (before != slack) munmap(first + before + kept, slack - before);
    address = first + before;
  }
  // Weights are read end to end: 2 MiB pages keep the TLB out of the way. Only advice, so the result is not
  // looked at.
  madvise(address, n_bytes, MADV_HUGEPAGE);
  return MappedMemory(static_cast<std::byte*>(address), n_bytes);
}

MappedMemory::MappedMemory(MappedMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedMemory& MappedMemory::operator=(MappedMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedMemory::~MappedMemory() {
  if (data_ != nullptr) munmap(data_, size_);
}

}  // namespace halod
