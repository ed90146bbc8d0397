#include "runtime/cache/kv_page_pool.h"

#include <limits>

namespace halod {

KvPagePool::KvPagePool(int64_t n_pages) {
  HALOD_ASSERT(n_pages >= 1 && n_pages <= std::numeric_limits<uint32_t>::max());
  pages_.resize(static_cast<size_t>(n_pages));
  free_.reserve(pages_.size());
  // Backwards, so that page 0 is handed out first.
  for (size_t i = pages_.size(); i > 0; --i) free_.push_back(static_cast<PageId>(i - 1));
}

KvPagePool::~KvPagePool() { HALOD_ASSERT(n_used() == 0); }

KvPagePool::Page& KvPagePool::at(PageId page) {
  HALOD_ASSERT(to_int(page) < pages_.size());
  return pages_[to_int(page)];
}

std::optional<PageId> KvPagePool::allocate() {
  PageId page{};
  if (!free_.empty()) {
    page = free_.back();
    free_.pop_back();
  } else if (!kept_.empty()) {
    page = kept_.front();
    kept_.pop_front();
    at(page).has_contents = false;
    if (on_eviction_) on_eviction_(page);
  } else {
    return std::nullopt;
  }
  HALOD_ASSERT(at(page).n_references == 0);
  at(page).n_references = 1;
  return page;
}

void KvPagePool::retain(PageId page_id) {
  Page& page = at(page_id);
  HALOD_ASSERT(page.n_references > 0 || page.has_contents);
  if (page.n_references == 0) kept_.erase(page.kept_at);
  ++page.n_references;
}

void KvPagePool::release(PageId page_id) {
  Page& page = at(page_id);
  HALOD_ASSERT(page.n_references > 0);
  if (--page.n_references > 0) return;
  if (page.has_contents) {
    page.kept_at = kept_.insert(kept_.end(), page_id);
  } else {
    free_.push_back(page_id);
  }
}

void KvPagePool::keep_when_released(PageId page_id) {
  Page& page = at(page_id);
  HALOD_ASSERT(page.n_references > 0);
  page.has_contents = true;
}

void KvPagePool::free_when_released(PageId page_id) {
  Page& page = at(page_id);
  HALOD_ASSERT(page.n_references > 0);
  page.has_contents = false;
}

}  // namespace halod
