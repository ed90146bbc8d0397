// Work that would block the io thread: parsing large bodies, rendering templates, tokenizing.
#pragma once

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>
#include <type_traits>
#include <utility>

namespace halod {

class WorkerPool {
 public:
  explicit WorkerPool(size_t n_threads) : pool_(n_threads) {}

  /// Runs `work` on a thread of the pool and resumes the caller on its own. Not cancellable: a cancelled
  /// caller resumes when the work is done. REQUIRES: what `work` refers to lives until then; it does not
  /// throw.
  template <class Work>
  auto run(Work work) -> boost::asio::awaitable<std::invoke_result_t<Work>> {
    using Value = std::invoke_result_t<Work>;
    auto start = [this](auto handler, Work to_do) {
      auto executor = boost::asio::get_associated_executor(handler);
      auto job = [handler = std::move(handler), to_do = std::move(to_do),
                  guard = boost::asio::make_work_guard(executor)]() mutable {
        auto resume = [handler = std::move(handler), value = to_do()]() mutable {
          std::move(handler)(std::move(value));
        };
        boost::asio::post(guard.get_executor(), std::move(resume));
      };
      boost::asio::post(pool_, std::move(job));
    };
    return boost::asio::async_initiate<decltype(boost::asio::use_awaitable), void(Value)>(
        std::move(start), boost::asio::use_awaitable, std::move(work));
  }

  void join() { pool_.join(); }

 private:
  boost::asio::thread_pool pool_;
};

}  // namespace halod
