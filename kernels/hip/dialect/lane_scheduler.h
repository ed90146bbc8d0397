// Runs a kernel's lanes on the CPU: one fiber per lane, on the calling thread, one block after the other.
//
// Lanes run until they meet: at a barrier of the block, or at a collective of their wave (a shuffle, a
// ballot, a matrix product). What a GPU leaves undefined ends the program here with a sentence: lanes of a
// wave at different collectives, a lane that is gone when the others meet, more shared memory than was given.
// Shared memory is filled with NaNs before every block. Waves and lanes run in ascending order in one block
// and in descending order in the next, and blocks likewise in every second launch, so that a missing barrier
// shows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace halod::lanes {

/// Where the running lane is.
struct Place {
  int thread = 0;
  int block_x = 0;
  int block_y = 0;
  unsigned char* shared_memory = nullptr;
  unsigned char* shared_memory_end = nullptr;
};
const Place& current();

enum class Meeting : uint8_t { kNone, kSyncWave, kShfl, kShflXor, kBallot, kWmmaA, kWmmaB };

/// What one lane brought to a collective.
struct alignas(64) Slot {
  unsigned char bytes[64];
};

/// Waits until all lanes of the wave are here and returns what they brought: 32 slots, valid until the second
/// collective after this one. `detail` must be the same in all lanes.
const Slot* meet_wave(Meeting meeting, int detail, const void* value, size_t n_bytes);
/// Waits until all threads of the block are here, but for waves that have ended.
void meet_block();
/// Ends the program: "kernel …, block (x, y), thread t <what>".
[[noreturn]] void fail(const char* what);

struct Launch {
  const char* name = "";  ///< of the kernel, for fail()
  void (*kernel)(const void* args) = nullptr;
  const void* args = nullptr;
  int n_blocks_x = 1;
  int n_blocks_y = 1;
  int n_threads = 0;          ///< per block, a multiple of 32
  size_t n_shared_bytes = 0;  ///< per block
};

struct SchedulerState;

/// Keeps stacks and shared memory between launches. Thread: one at a time.
class LaneScheduler {
 public:
  LaneScheduler();
  ~LaneScheduler();
  /// Returns when all blocks have run.
  void run(const Launch& launch);

 private:
  std::unique_ptr<SchedulerState> state_;
};

}  // namespace halod::lanes
