#include "kernels/hip/dialect/lane_scheduler.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "base/error.h"

#if !defined(__x86_64__)
#error "the fiber switch below is for x86-64, as halod's CPU kernels are"
#endif

// Saves the registers that a called function must preserve on this stack, and goes on where another stack was
// left the same way.
extern "C" void halod_switch_stack(void** save_here, void* load_this);
asm(R"(
.pushsection .text
.globl halod_switch_stack
.hidden halod_switch_stack
.type halod_switch_stack, @function
halod_switch_stack:
  .cfi_startproc
  push %rbp
  push %rbx
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  ret
  .cfi_endproc
.size halod_switch_stack, .-halod_switch_stack
.popsection
)");

namespace halod::lanes {
namespace {

constexpr int kWaveLanes = 32;
constexpr int kSavedRegisters = 6;
// Kernels keep their arrays in shared memory; sanitizers make frames several times larger. The odd 320 bytes
// keep stacks from meeting in the same sets of the first-level cache.
constexpr size_t kStackBytes = (128 << 10) + 320;
constexpr unsigned char kPoison = 0xff;  // a float of four of them is NaN

}  // namespace

enum class LaneState : uint8_t { kReady, kAtMeeting, kAtBarrier, kDone };

struct Lane {
  void* stack = nullptr;  // while it does not run
  LaneState state = LaneState::kReady;
  Meeting meeting = Meeting::kNone;
  int detail = 0;
  int parity = 0;  // which of the wave's two sets of slots its next collective uses
};

struct SchedulerState {
  Launch launch;
  Place place;
  std::vector<Lane> lanes;
  std::vector<Slot> slots;  // [wave][parity][lane]
  std::unique_ptr<unsigned char[]> stacks;
  std::vector<unsigned char> shared;
  void* scheduler_stack = nullptr;
  bool descending_blocks = false;

  Lane& running() { return lanes[static_cast<size_t>(place.thread)]; }
  void suspend(LaneState why) {
    running().state = why;
    halod_switch_stack(&running().stack, scheduler_stack);
  }
  void resume(int thread) {
    place.thread = thread;
    running().state = LaneState::kReady;
    halod_switch_stack(&scheduler_stack, running().stack);
  }
  void prepare(const Launch& next);
  void run_block(bool descending);
  LaneState run_wave(int wave, bool descending);
  LaneState common_state(int first_thread);
};

namespace {

thread_local SchedulerState* running_state = nullptr;

/// What a fiber runs: the kernel once per block, for as long as there are blocks.
[[noreturn]] void lane_main() {
  for (;;) {
    running_state->launch.kernel(running_state->launch.args);
    running_state->suspend(LaneState::kDone);
  }
}

/// A stack on which halod_switch_stack() finds six registers and the address of lane_main.
void* fresh_stack(unsigned char* end) {
  auto* top = reinterpret_cast<void**>(reinterpret_cast<uintptr_t>(end) & ~uintptr_t{15});
  *--top =
      nullptr;  // where a caller's return address would be: lane_main finds the stack aligned as after a call
  *--top = reinterpret_cast<void*>(&lane_main);
  for (int i = 0; i < kSavedRegisters; ++i) *--top = nullptr;
  return top;
}

}  // namespace

const Place& current() { return running_state->place; }

void fail(const char* what) {
  const SchedulerState& state = *running_state;
  std::fprintf(stderr, "kernel %s, block (%d, %d), thread %d: %s\n", state.launch.name, state.place.block_x,
               state.place.block_y, state.place.thread, what);
  std::abort();
}

const Slot* meet_wave(Meeting meeting, int detail, const void* value, size_t n_bytes) {
  SchedulerState& state = *running_state;
  Lane& lane = state.running();
  const auto wave = static_cast<size_t>(state.place.thread / kWaveLanes);
  Slot* slots = state.slots.data() + (2 * wave + static_cast<size_t>(lane.parity)) * kWaveLanes;
  // Two sets, because the first lane to go on may be at the next collective before the last one has read this
  // one's.
  lane.parity ^= 1;
  if (n_bytes > 0) std::memcpy(slots[state.place.thread % kWaveLanes].bytes, value, n_bytes);
  lane.meeting = meeting;
  lane.detail = detail;
  state.suspend(LaneState::kAtMeeting);
  return slots;
}

void meet_block() { running_state->suspend(LaneState::kAtBarrier); }

/// The state of a wave's lanes, which must be the same for all of them.
LaneState SchedulerState::common_state(int first_thread) {
  const Lane& first = lanes[static_cast<size_t>(first_thread)];
  for (int thread = first_thread + 1; thread < first_thread + kWaveLanes; ++thread) {
    const Lane& lane = lanes[static_cast<size_t>(thread)];
    place.thread = thread;
    if (lane.state != first.state)
      fail(
          "is elsewhere than the first lane of its wave, of which one waits: lanes must meet or end "
          "together");
    if (lane.state == LaneState::kAtMeeting && (lane.meeting != first.meeting || lane.detail != first.detail))
      fail("meets its wave at another collective than the first lane does");
  }
  return first.state;
}

/// Runs a wave until it is at a barrier or done.
LaneState SchedulerState::run_wave(int wave, bool descending) {
  for (;;) {
    for (int i = 0; i < kWaveLanes; ++i) resume(wave * kWaveLanes + (descending ? kWaveLanes - 1 - i : i));
    const LaneState state = common_state(wave * kWaveLanes);
    if (state != LaneState::kAtMeeting) return state;
  }
}

void SchedulerState::run_block(bool descending) {
  std::fill(shared.begin(), shared.end(), kPoison);
  const int n_waves = launch.n_threads / kWaveLanes;
  for (Lane& lane : lanes) {
    lane.state = LaneState::kReady;
    lane.parity = 0;
  }
  for (bool waits = true; waits;) {
    waits = false;
    for (int i = 0; i < n_waves; ++i) {
      const int wave = descending ? n_waves - 1 - i : i;
      if (lanes[static_cast<size_t>(wave * kWaveLanes)].state == LaneState::kDone) continue;
      waits |= run_wave(wave, descending) == LaneState::kAtBarrier;
    }
  }
}

void SchedulerState::prepare(const Launch& next) {
  HALOD_ASSERT(next.n_threads > 0 && next.n_threads % kWaveLanes == 0);
  launch = next;
  const auto n_threads = static_cast<size_t>(next.n_threads);
  if (lanes.size() < n_threads) {
    stacks = std::make_unique_for_overwrite<unsigned char[]>(n_threads * kStackBytes);
    lanes.assign(n_threads, {});
    for (size_t i = 0; i < n_threads; ++i) lanes[i].stack = fresh_stack(stacks.get() + (i + 1) * kStackBytes);
    slots.resize(2 * n_threads);
  }
  // A multiple of 16, and aligned like the allocator's blocks: 16 bytes.
  shared.resize((next.n_shared_bytes + 15) / 16 * 16);
  place.shared_memory = shared.data();
  place.shared_memory_end = shared.data() + shared.size();
}

LaneScheduler::LaneScheduler() : state_(std::make_unique<SchedulerState>()) {}
LaneScheduler::~LaneScheduler() = default;

void LaneScheduler::run(const Launch& launch) {
  SchedulerState& state = *state_;
  state.prepare(launch);
  SchedulerState* const outer = std::exchange(running_state, &state);
  const int64_t n_blocks = int64_t{launch.n_blocks_x} * launch.n_blocks_y;
  for (int64_t i = 0; i < n_blocks; ++i) {
    const int64_t block = state.descending_blocks ? n_blocks - 1 - i : i;
    state.place.block_x = static_cast<int>(block % launch.n_blocks_x);
    state.place.block_y = static_cast<int>(block / launch.n_blocks_x);
    state.run_block(block % 2 == 1);
  }
  state.descending_blocks = !state.descending_blocks;
  running_state = outer;
}

}  // namespace halod::lanes
