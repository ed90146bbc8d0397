// Which pages of the KV storage are in use, by how many sequences, and which idle ones still hold something
// worth keeping.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <vector>

#include "base/error.h"
#include "base/ids.h"

namespace halod {

/// Hands out page numbers; the memory behind them belongs to the model. A page is in one of three states:
///   free   nobody refers to it, its contents are worthless;
///   used   one or more sequences refer to it (a shared prompt prefix counts once per sequence);
///   kept   nobody refers to it, but its contents are known to the prefix index. It counts as available:
///   allocate() takes
///          the one released longest ago when no free page is left, and tells the index.
/// Thread: the engine thread alone.
class KvPagePool {
 public:
  explicit KvPagePool(int64_t n_pages);
  /// Asserts that every page came back.
  ~KvPagePool();
  KvPagePool(const KvPagePool&) = delete;
  KvPagePool& operator=(const KvPagePool&) = delete;

  /// A page with one reference; nothing when all are used.
  std::optional<PageId> allocate();
  /// One more reference to a used or kept page. REQUIRES: the page is not free.
  void retain(PageId page);
  /// One reference less. REQUIRES: the page is used.
  void release(PageId page);

  /// Once nobody refers to the page it is kept instead of freed. REQUIRES: the page is used.
  void keep_when_released(PageId page);
  /// Takes that back. REQUIRES: the page is used.
  void free_when_released(PageId page);
  /// Called with a kept page just before it is handed out anew. The callee must outlive the pool or unset it.
  void set_eviction_callback(std::function<void(PageId)> callback) { on_eviction_ = std::move(callback); }

  int64_t n_pages() const { return static_cast<int64_t>(pages_.size()); }
  /// Free and kept pages: what allocate() can give.
  int64_t n_available() const { return static_cast<int64_t>(free_.size() + kept_.size()); }
  int64_t n_used() const { return n_pages() - n_available(); }
  int64_t n_kept() const { return static_cast<int64_t>(kept_.size()); }
  uint32_t n_references(PageId page) const { return pages_[to_int(page)].n_references; }

 private:
  struct Page {
    uint32_t n_references = 0;
    bool has_contents = false;                 ///< the prefix index knows it
    std::list<PageId>::iterator kept_at = {};  ///< valid while kept
  };

  Page& at(PageId page);

  std::vector<Page> pages_;
  std::vector<PageId> free_;
  std::list<PageId> kept_;  // the page released longest ago first
  std::function<void(PageId)> on_eviction_;
};

}  // namespace halod
