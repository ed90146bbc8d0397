#include "base/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <limits>
#include <mutex>
#include <thread>
#include <vector>

#include "base/error.h"

namespace halod {
namespace {

using Clock = std::chrono::steady_clock;
// Longer than the gap between two regions of a decode step (tens of microseconds), much shorter than a
// scheduler tick.
constexpr std::chrono::microseconds kSpinTime{400};

// Yielding costs a system call; the usual wait is over before this.
constexpr std::chrono::microseconds kUndisturbedSpinTime{10};

void cpu_relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

/// Spins until done() or the spin time is over; says which.
template <class Done>
bool spin_until(const Done& done) {
  const auto start = Clock::now();
  while (true) {
    for (int i = 0; i < 64; ++i) {
      if (done()) return true;
      cpu_relax();
    }
    const auto spent = Clock::now() - start;
    if (spent > kSpinTime) return false;
    // Whom we wait for may itself wait for this core, when more threads want to run than there are cores.
    if (spent > kUndisturbedSpinTime) std::this_thread::yield();
  }
}

/// What is left of one worker's share of a parallel_for: chunks [begin, end), both in one word, so that the
/// worker, who takes from the front, and thieves, who take from the back, agree by compare-and-swap.
class alignas(64) Share {
 public:
  void set(uint32_t begin, uint32_t end) { range_.store(pack(begin, end), std::memory_order_relaxed); }
  uint32_t n_left() const {
    const uint64_t range = range_.load(std::memory_order_relaxed);
    return end_of(range) - begin_of(range);
  }
  /// The next chunk, or false when none is left. Order of memory: chunks are disjoint, and ThreadPool::run
  /// publishes their results.
  bool take_first(uint32_t& chunk) {
    uint64_t range = range_.load(std::memory_order_relaxed);
    while (begin_of(range) < end_of(range)) {
      chunk = begin_of(range);
      if (range_.compare_exchange_weak(range, pack(chunk + 1, end_of(range)), std::memory_order_relaxed))
        return true;
    }
    return false;
  }
  /// The later half of what is left, to be this worker's own; false when there is none.
  bool take_half_of(Share& victim) {
    uint64_t range = victim.range_.load(std::memory_order_relaxed);
    while (begin_of(range) < end_of(range)) {
      const uint32_t middle = begin_of(range) + (end_of(range) - begin_of(range)) / 2;
      if (victim.range_.compare_exchange_weak(range, pack(begin_of(range), middle),
                                              std::memory_order_relaxed)) {
        set(middle, end_of(range));
        return true;
      }
    }
    return false;
  }

 private:
  static uint64_t pack(uint32_t begin, uint32_t end) { return uint64_t{begin} << 32 | end; }
  static uint32_t begin_of(uint64_t range) { return static_cast<uint32_t>(range >> 32); }
  static uint32_t end_of(uint64_t range) { return static_cast<uint32_t>(range); }

  std::atomic<uint64_t> range_{0};
};

}  // namespace

struct ThreadPool::State {
  explicit State(int n_workers) : shares(static_cast<size_t>(n_workers)) {}

  std::vector<std::thread> workers;
  std::vector<Share> shares;  ///< one per worker
  const std::function<void(int, int)>* task = nullptr;
  // Released by run() after `task` is set, acquired by workers before they read it.
  std::atomic<uint64_t> generation{0};
  std::atomic<int> n_pending{0};
  std::atomic<bool> stopping{false};
  std::mutex mutex;
  std::condition_variable wake;
  std::condition_variable all_done;

  void work(int worker_idx, int n_workers) {
    uint64_t seen = 0;
    while (true) {
      const auto changed = [&] {
        return generation.load(std::memory_order_acquire) != seen || stopping.load(std::memory_order_acquire);
      };
      if (!spin_until(changed)) {
        std::unique_lock lock(mutex);
        wake.wait(lock, changed);
      }
      if (stopping.load(std::memory_order_acquire)) return;
      seen = generation.load(std::memory_order_acquire);
      (*task)(worker_idx, n_workers);
      if (n_pending.fetch_sub(1, std::memory_order_acq_rel) == 1) {
        std::lock_guard lock(mutex);
        all_done.notify_one();
      }
    }
  }
};

ThreadPool::ThreadPool(int n_threads) : state_(std::make_unique<State>(n_threads)) {
  HALOD_ASSERT(n_threads >= 1);
  for (int worker_idx = 1; worker_idx < n_threads; ++worker_idx) {
    state_->workers.emplace_back([this, worker_idx, n_threads] { state_->work(worker_idx, n_threads); });
  }
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(state_->mutex);
    state_->stopping.store(true, std::memory_order_release);
  }
  state_->wake.notify_all();
  for (std::thread& worker : state_->workers) worker.join();
}

int ThreadPool::n_threads() const { return static_cast<int>(state_->workers.size()) + 1; }

void ThreadPool::run(const std::function<void(int, int)>& task) {
  State& state = *state_;
  const int n_workers = n_threads();
  if (n_workers == 1) {
    task(0, 1);
    return;
  }
  state.task = &task;
  state.n_pending.store(n_workers - 1, std::memory_order_relaxed);
  {
    // The lock pairs with the wait in work(): without it a worker could check, miss this, and then sleep.
    std::lock_guard lock(state.mutex);
    state.generation.fetch_add(1, std::memory_order_release);
  }
  state.wake.notify_all();
  task(0, n_workers);
  const auto finished = [&] { return state.n_pending.load(std::memory_order_acquire) == 0; };
  if (!spin_until(finished)) {
    std::unique_lock lock(state.mutex);
    state.all_done.wait(lock, finished);
  }
}

void ThreadPool::parallel_for(int64_t n_items, int64_t chunk,
                              const std::function<void(int64_t, int64_t, int)>& task) {
  HALOD_ASSERT(chunk >= 1);
  if (n_items <= chunk || n_threads() == 1) {
    if (n_items > 0) task(0, n_items, 0);
    return;
  }
  const int64_t n_chunks = (n_items + chunk - 1) / chunk;
  HALOD_ASSERT(n_chunks <= std::numeric_limits<uint32_t>::max());
  std::vector<Share>& shares = state_->shares;
  const auto n_workers = static_cast<int64_t>(shares.size());
  for (int64_t w = 0; w < n_workers; ++w) {
    shares[static_cast<size_t>(w)].set(static_cast<uint32_t>(n_chunks * w / n_workers),
                                       static_cast<uint32_t>(n_chunks * (w + 1) / n_workers));
  }
  run([&](int worker_idx, int) {
    Share& own = shares[static_cast<size_t>(worker_idx)];
    const auto left_of = [](const Share& a, const Share& b) { return a.n_left() < b.n_left(); };
    while (true) {
      uint32_t taken = 0;
      while (own.take_first(taken)) {
        const int64_t begin = taken * chunk;
        task(begin, std::min(begin + chunk, n_items), worker_idx);
      }
      Share& fullest = *std::max_element(shares.begin(), shares.end(), left_of);
      if (fullest.n_left() == 0) return;
      own.take_half_of(fullest);
    }
  });
}

}  // namespace halod
