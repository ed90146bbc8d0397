// Automatic prefix caching: finds the KV pages that already hold the beginning of a new prompt.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/ids.h"
#include "runtime/cache/kv_page_pool.h"

namespace halod {

/// A place in the tree of known prefixes: one full page of tokens and everything before it. Ids are never
/// used twice.
enum class PrefixId : uint64_t { kEmpty = 0 };

/// A tree whose edges are full pages of tokens. A node is looked up by its parent's identity and its own
/// tokens, which are compared in full: a hash collision can therefore never give one prompt the KV of
/// another. When the pool reuses a kept page its node goes; nodes below it cannot be found any more and leave
/// the same way (sequences release their pages last to first, so normally they have left already). Holds no
/// references: a page that is only indexed is available to the pool. Thread: the engine thread alone.
class PrefixIndex {
 public:
  /// The pool must outlive the index.
  PrefixIndex(KvPagePool& pool, int64_t page_tokens);
  ~PrefixIndex();
  PrefixIndex(const PrefixIndex&) = delete;
  PrefixIndex& operator=(const PrefixIndex&) = delete;

  struct Match {
    std::vector<PageId> pages;  ///< not retained yet: the caller does that before anything else is allocated
    PrefixId prefix = PrefixId::kEmpty;
  };
  /// The longest known prefix of `tokens` in whole pages.
  Match find(std::span<const TokenId> tokens) const;

  /// Makes the page that continues `parent` by `tokens` (exactly one page of them) findable and returns the
  /// new prefix. When another page holds the same prefix already, that one stays and `page` remains private.
  /// REQUIRES: `page` is used and not indexed.
  PrefixId insert(PrefixId parent, std::span<const TokenId> tokens, PageId page);

  /// The page cannot be found any more, because its contents turned out to be wrong. REQUIRES: `page` is
  /// used; indexed or not.
  void erase(PageId page);

  int64_t page_tokens() const { return page_tokens_; }
  /// Pages that can be found or wait for eviction.
  size_t size() const { return nodes_.size(); }

 private:
  struct KeyView {
    PrefixId parent;
    std::span<const TokenId> tokens;
  };
  struct Key {
    PrefixId parent;
    std::vector<TokenId> tokens;
    operator KeyView() const { return {parent, tokens}; }
  };
  struct Hash {
    using is_transparent = void;
    size_t operator()(const KeyView& key) const;
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(const KeyView& a, const KeyView& b) const;
  };
  struct Node {
    PrefixId prefix;
    PageId page;
  };

  void forget(PageId page);

  KvPagePool& pool_;
  const int64_t page_tokens_;
  uint64_t last_prefix_id_ = 0;
  std::unordered_map<Key, Node, Hash, Equal> nodes_;
  std::vector<const Key*> key_by_page_;  // into nodes_, whose elements do not move
};

}  // namespace halod
