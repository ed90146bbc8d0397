#include "runtime/cache/prefix_index.h"

#include <algorithm>
#include <boost/container_hash/hash.hpp>

namespace halod {

size_t PrefixIndex::Hash::operator()(const KeyView& key) const {
  size_t hash = std::hash<uint64_t>()(static_cast<uint64_t>(key.parent));
  for (const TokenId token : key.tokens) boost::hash_combine(hash, to_int(token));
  return hash;
}

bool PrefixIndex::Equal::operator()(const KeyView& a, const KeyView& b) const {
  return a.parent == b.parent && std::ranges::equal(a.tokens, b.tokens);
}

PrefixIndex::PrefixIndex(KvPagePool& pool, int64_t page_tokens) : pool_(pool), page_tokens_(page_tokens) {
  HALOD_ASSERT(page_tokens >= 1);
  key_by_page_.resize(static_cast<size_t>(pool.n_pages()), nullptr);
  pool_.set_eviction_callback([this](PageId page) { forget(page); });
}

PrefixIndex::~PrefixIndex() { pool_.set_eviction_callback({}); }

PrefixIndex::Match PrefixIndex::find(std::span<const TokenId> tokens) const {
  Match match;
  const auto n = static_cast<size_t>(page_tokens_);
  for (; tokens.size() >= n; tokens = tokens.subspan(n)) {
    const auto node = nodes_.find(KeyView{match.prefix, tokens.first(n)});
    if (node == nodes_.end()) break;
    match.pages.push_back(node->second.page);
    match.prefix = node->second.prefix;
  }
  return match;
}

PrefixId PrefixIndex::insert(PrefixId parent, std::span<const TokenId> tokens, PageId page) {
  HALOD_ASSERT(tokens.size() == static_cast<size_t>(page_tokens_));
  HALOD_ASSERT(key_by_page_[to_int(page)] == nullptr);
  if (const auto known = nodes_.find(KeyView{parent, tokens}); known != nodes_.end())
    return known->second.prefix;
  const PrefixId prefix{++last_prefix_id_};
  const auto node = nodes_.emplace(Key{parent, {tokens.begin(), tokens.end()}}, Node{prefix, page}).first;
  key_by_page_[to_int(page)] = &node->first;
  pool_.keep_when_released(page);
  return prefix;
}

void PrefixIndex::erase(PageId page) {
  if (key_by_page_[to_int(page)] == nullptr) return;
  forget(page);
  pool_.free_when_released(page);
}

void PrefixIndex::forget(PageId page) {
  const Key* key = key_by_page_[to_int(page)];
  HALOD_ASSERT(key != nullptr);
  key_by_page_[to_int(page)] = nullptr;
  nodes_.erase(nodes_.find(KeyView(*key)));
}

}  // namespace halod
