// Byte-pair encoding of single words.
#pragma once

#include <array>
#include <cstdint>
#include <queue>
#include <string_view>
#include <vector>

#include "base/ids.h"

namespace halod {

/// Token `left` followed by token `right` becomes `merged`; the lowest rank goes first.
struct Merge {
  TokenId left{};
  TokenId right{};
  TokenId merged{};
};

inline constexpr TokenId kNoToken{-1};

/// Immutable once made. Thread: const methods from any thread, each with a Workspace of its own.
class BytePairMerger {
 public:
  /// `byte_tokens`: the token of each single byte, kNoToken where the vocabulary has none. `merges`: by rank,
  /// best first.
  BytePairMerger(const std::array<TokenId, 256>& byte_tokens, const std::vector<Merge>& merges);

  struct Symbol {
    TokenId token;
    int32_t prev;  // positions in Workspace::symbols, -1 at the ends
    int32_t next;
  };
  /// A pair of neighbours that could be merged. Stale once one of them has changed.
  struct Candidate {
    int32_t rank;
    int32_t left;
    int32_t right;
    TokenId left_token;
    TokenId right_token;
    TokenId merged;
    /// Lowest rank first, then leftmost. For std::priority_queue, which puts the largest on top.
    friend bool operator<(const Candidate& a, const Candidate& b) {
      return a.rank != b.rank ? a.rank > b.rank : a.left > b.left;
    }
  };
  /// Memory kept between words.
  struct Workspace {
    std::vector<Symbol> symbols;
    std::vector<Candidate> candidates;  // a heap
  };

  /// Appends the tokens of `word`. Bytes without a token are left out. Time: O(n log n).
  /// REQUIRES: fewer than 2^31 bytes.
  void encode(std::string_view word, Workspace& workspace, std::vector<TokenId>& out) const;

 private:
  struct Slot {
    uint64_t key = kEmpty;
    int32_t rank = 0;
    TokenId merged = kNoToken;
  };
  static constexpr uint64_t kEmpty = ~uint64_t{0};  // no pair of valid ids

  static uint64_t key_of(TokenId left, TokenId right);
  size_t slot_of(uint64_t key) const;
  const Slot* find(TokenId left, TokenId right) const;
  void push_candidate(Workspace& workspace, int32_t left, int32_t right) const;

  std::array<TokenId, 256> byte_tokens_;
  std::vector<Slot> slots_;  // open addressing, a power of two, at most half full
  int shift_ = 63;
};

}  // namespace halod
