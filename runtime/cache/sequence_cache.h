// The KV pages of one sequence.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.h"
#include "runtime/cache/kv_page_pool.h"
#include "runtime/cache/prefix_index.h"

namespace halod {

/// The page table of one sequence: page i holds the tokens [i, i + 1) * page_tokens. Gives its pages back on
/// destruction. Pages that came from the index are shared with other sequences and full, so they are never
/// written again. Thread: the engine thread alone.
class SequenceCache {
 public:
  /// `index` may be null: then nothing is reused. Both must outlive the cache.
  SequenceCache(KvPagePool& pool, PrefixIndex* index, int64_t page_tokens);
  ~SequenceCache() { release(); }
  SequenceCache(const SequenceCache&) = delete;
  SequenceCache& operator=(const SequenceCache&) = delete;

  /// Takes over the pages that hold the beginning of `tokens` and returns how many tokens they hold. Always
  /// fewer than all of them: the last token must be computed, because its logits are wanted. REQUIRES: no
  /// pages yet.
  int64_t adopt_prefix(std::span<const TokenId> tokens);
  /// Allocates pages until n_tokens fit. False, and nothing allocated, when the pool cannot give them all.
  bool grow_to(int64_t n_tokens);
  /// Makes the full pages among the first n_computed tokens findable for other sequences. `tokens` are the
  /// sequence's own.
  void index_computed(std::span<const TokenId> tokens, int64_t n_computed);
  /// Gives all pages back.
  void release();
  /// Gives all pages back, and nobody will be given their contents again: they are wrong.
  void discard();

  std::span<const PageId> pages() const { return pages_; }
  int64_t n_pages() const { return static_cast<int64_t>(pages_.size()); }

 private:
  KvPagePool& pool_;
  PrefixIndex* index_;
  const int64_t page_tokens_;
  std::vector<PageId> pages_;
  int64_t n_indexed_ = 0;  // leading pages that the index has been told about
  PrefixId prefix_ = PrefixId::kEmpty;
};

}  // namespace halod
