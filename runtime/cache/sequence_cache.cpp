#include "runtime/cache/sequence_cache.h"

namespace halod {

SequenceCache::SequenceCache(KvPagePool& pool, PrefixIndex* index, int64_t page_tokens)
    : pool_(pool), index_(index), page_tokens_(page_tokens) {
  HALOD_ASSERT(index == nullptr || index->page_tokens() == page_tokens);
}

int64_t SequenceCache::adopt_prefix(std::span<const TokenId> tokens) {
  HALOD_ASSERT(pages_.empty());
  if (index_ == nullptr || tokens.empty()) return 0;
  PrefixIndex::Match match = index_->find(tokens.first(tokens.size() - 1));
  for (const PageId page : match.pages) pool_.retain(page);
  pages_ = std::move(match.pages);
  prefix_ = match.prefix;
  n_indexed_ = n_pages();
  return n_pages() * page_tokens_;
}

bool SequenceCache::grow_to(int64_t n_tokens) {
  const int64_t n_wanted = (n_tokens + page_tokens_ - 1) / page_tokens_;
  if (n_wanted - n_pages() > pool_.n_available()) return false;
  while (n_pages() < n_wanted) pages_.push_back(pool_.allocate().value());
  return true;
}

void SequenceCache::index_computed(std::span<const TokenId> tokens, int64_t n_computed) {
  if (index_ == nullptr) return;
  HALOD_ASSERT(n_computed <= n_pages() * page_tokens_ && n_computed <= static_cast<int64_t>(tokens.size()));
  const auto n = static_cast<size_t>(page_tokens_);
  for (; (n_indexed_ + 1) * page_tokens_ <= n_computed; ++n_indexed_) {
    const auto page_idx = static_cast<size_t>(n_indexed_);
    prefix_ = index_->insert(prefix_, tokens.subspan(page_idx * n, n), pages_[page_idx]);
  }
}

void SequenceCache::discard() {
  if (index_ != nullptr) {
    for (const PageId page : pages_) index_->erase(page);
  }
  release();
}

void SequenceCache::release() {
  // Last page first: it becomes the oldest of the kept ones and is evicted before the prefix that leads to
  // it.
  for (; !pages_.empty(); pages_.pop_back()) pool_.release(pages_.back());
  n_indexed_ = 0;
  prefix_ = PrefixId::kEmpty;
}

}  // namespace halod
