#include "runtime/text/byte_pair_merger.h"

#include <algorithm>
#include <bit>

#include "base/error.h"

namespace halod {

uint64_t BytePairMerger::key_of(TokenId left, TokenId right) {
  return (static_cast<uint64_t>(static_cast<uint32_t>(to_int(left))) << 32U) |
         static_cast<uint32_t>(to_int(right));
}

size_t BytePairMerger::slot_of(uint64_t key) const {
  // Fibonacci hashing: the high bits of the product depend on all bits of the key.
  return static_cast<size_t>((key * 0x9E3779B97F4A7C15U) >> shift_);
}

BytePairMerger::BytePairMerger(const std::array<TokenId, 256>& byte_tokens, const std::vector<Merge>& merges)
    : byte_tokens_(byte_tokens) {
  const size_t n_slots = std::bit_ceil(std::max<size_t>(2 * merges.size(), 2));
  slots_.resize(n_slots);
  shift_ = 64 - std::countr_zero(n_slots);
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const uint64_t key = key_of(merges[rank].left, merges[rank].right);
    size_t i = slot_of(key);
    while (slots_[i].key != kEmpty && slots_[i].key != key) i = (i + 1) & (n_slots - 1);
    // A pair listed twice keeps its better rank.
    if (slots_[i].key == kEmpty) slots_[i] = {key, static_cast<int32_t>(rank), merges[rank].merged};
  }
}

const BytePairMerger::Slot* BytePairMerger::find(TokenId left, TokenId right) const {
  if (left == kNoToken || right == kNoToken) return nullptr;
  const uint64_t key = key_of(left, right);
  for (size_t i = slot_of(key); slots_[i].key != kEmpty; i = (i + 1) & (slots_.size() - 1)) {
    if (slots_[i].key == key) return &slots_[i];
  }
  return nullptr;
}

void BytePairMerger::push_candidate(Workspace& workspace, int32_t left, int32_t right) const {
  if (left < 0 || right < 0) return;
  const TokenId left_token = workspace.symbols[static_cast<size_t>(left)].token;
  const TokenId right_token = workspace.symbols[static_cast<size_t>(right)].token;
  const Slot* slot = find(left_token, right_token);
  if (slot == nullptr) return;
  workspace.candidates.push_back({slot->rank, left, right, left_token, right_token, slot->merged});
  std::push_heap(workspace.candidates.begin(), workspace.candidates.end());
}

void BytePairMerger::encode(std::string_view word, Workspace& workspace, std::vector<TokenId>& out) const {
  HALOD_ASSERT(word.size() < (size_t{1} << 31U));
  auto& symbols = workspace.symbols;
  symbols.clear();
  workspace.candidates.clear();
  const auto n = static_cast<int32_t>(word.size());
  for (int32_t i = 0; i < n; ++i) {
    const auto byte = static_cast<uint8_t>(word[static_cast<size_t>(i)]);
    symbols.push_back({byte_tokens_[byte], i - 1, i + 1 < n ? i + 1 : -1});
    push_candidate(workspace, i - 1, i);
  }
  while (!workspace.candidates.empty()) {
    std::pop_heap(workspace.candidates.begin(), workspace.candidates.end());
    const Candidate best = workspace.candidates.back();
    workspace.candidates.pop_back();
    Symbol& left = symbols[static_cast<size_t>(best.left)];
    Symbol& right = symbols[static_cast<size_t>(best.right)];
    // Stale: one side has been merged into something else since (a swallowed symbol has no token).
    if (left.token != best.left_token || right.token != best.right_token || left.next != best.right) continue;
    left.token = best.merged;
    left.next = right.next;
    right.token = kNoToken;
    if (left.next >= 0) symbols[static_cast<size_t>(left.next)].prev = best.left;
    push_candidate(workspace, left.prev, best.left);
    push_candidate(workspace, best.left, left.next);
  }
  for (int32_t i = n > 0 ? 0 : -1; i >= 0; i = symbols[static_cast<size_t>(i)].next) {
    if (symbols[static_cast<size_t>(i)].token != kNoToken)
      out.push_back(symbols[static_cast<size_t>(i)].token);
  }
}

}  // namespace halod
