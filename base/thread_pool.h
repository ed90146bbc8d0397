// Fork-join over a fixed set of threads: the caller is worker 0, so a pool of one thread starts none.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace halod {

/// Runs one parallel region at a time. Workers spin briefly between regions, because a decode step is
/// hundreds of short regions, and sleep when no region has come for a while, so an idle daemon uses no CPU.
/// Thread: run() from one thread at a time (the engine thread).
class ThreadPool {
 public:
  /// `n_threads` >= 1, the caller included.
  explicit ThreadPool(int n_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int n_threads() const;

  /// Calls task(worker_idx, n_threads) once on every worker and returns when all have.
  void run(const std::function<void(int worker_idx, int n_workers)>& task);

  /// Splits [0, n_items) into chunks of `chunk` items. Each worker has a run of neighbouring chunks, in
  /// order, so that what it reads is one stream that can be asked for ahead; who is done takes half of what
  /// another has left (a shared machine's cores are not equally fast). Calls task(begin, end, worker_idx).
  void parallel_for(int64_t n_items, int64_t chunk,
                    const std::function<void(int64_t begin, int64_t end, int worker_idx)>& task);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace halod
