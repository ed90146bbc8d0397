#include "runtime/text/sentence_piece.h"

#include <algorithm>
#include <charconv>
#include <queue>

#include "runtime/text/byte_pair_merger.h"
#include "runtime/text/utf8.h"

namespace halod {
namespace {

constexpr std::string_view kSpace = "\xE2\x96\x81";  // U+2581, as vocabularies write the space

/// "<0x0A>" -> 10; -1 for anything else.
int byte_of(std::string_view piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece.back() != '>') return -1;
  int byte = -1;
  const auto [end, error] = std::from_chars(piece.data() + 3, piece.data() + 5, byte, 16);
  return error == std::errc() && end == piece.data() + 5 ? byte : -1;
}

/// A run of the text: a character, or what was merged of several.
struct Run {
  size_t begin;
  size_t n_bytes;  // 0: swallowed by its left neighbour
  int32_t prev;
  int32_t next;
};

/// Two neighbours that make a piece. Stale once one of them has changed.
struct Pair {
  float score;
  int32_t left;
  int32_t right;
  size_t n_bytes;
  /// Best score first, then leftmost. For std::priority_queue, which puts the largest on top.
  friend bool operator<(const Pair& a, const Pair& b) {
    return a.score != b.score ? a.score < b.score : a.left > b.left;
  }
};

}  // namespace

void append_decoded_piece(std::string_view piece, TokenType type, std::string& bytes) {
  if (const int byte = type == TokenType::kByte ? byte_of(piece) : -1; byte >= 0) {
    bytes.push_back(static_cast<char>(static_cast<uint8_t>(byte)));
    return;
  }
  for (size_t i = 0; i < piece.size();) {
    const bool is_space = piece.substr(i, kSpace.size()) == kSpace;
    bytes.push_back(is_space ? ' ' : piece[i]);
    i += is_space ? kSpace.size() : 1;
  }
}

SentencePieceEncoder::SentencePieceEncoder(const TokenizerData& data) : unknown_(kNoToken) {
  byte_tokens_.fill(kNoToken);
  std::string text;
  for (size_t i = 0; i < data.tokens.size(); ++i) {
    const TokenId id{static_cast<int32_t>(i)};
    const TokenType type = data.token_types[i];
    if (type == TokenType::kUnknown && unknown_ == kNoToken) unknown_ = id;
    if (type == TokenType::kByte) {
      if (const int byte = byte_of(data.tokens[i]); byte >= 0) byte_tokens_[static_cast<size_t>(byte)] = id;
    }
    // Text must not become a control token, and spells no byte token's name.
    if (type != TokenType::kNormal && type != TokenType::kUserDefined) continue;
    text.clear();
    append_decoded_piece(data.tokens[i], type, text);
    longest_ = std::max(longest_, text.size());
    pieces_.try_emplace(text, Piece{id, data.scores[i]});
  }
}

const SentencePieceEncoder::Piece* SentencePieceEncoder::find(std::string_view text) const {
  if (text.size() > longest_) return nullptr;
  const auto piece = pieces_.find(text);
  return piece == pieces_.end() ? nullptr : &piece->second;
}

void SentencePieceEncoder::append_bytes(std::string_view text, std::vector<TokenId>& out) const {
  const auto token_of = [&](char byte) { return byte_tokens_[static_cast<uint8_t>(byte)]; };
  const bool has_all = std::ranges::all_of(text, [&](char byte) { return token_of(byte) != kNoToken; });
  if (has_all) {
    for (const char byte : text) out.push_back(token_of(byte));
  } else if (unknown_ != kNoToken) {
    out.push_back(unknown_);
  }
}

void SentencePieceEncoder::encode(std::string_view text, std::vector<TokenId>& out) const {
  HALOD_ASSERT(text.size() < (size_t{1} << 31U));
  std::vector<Run> runs;
  for (size_t begin = 0; begin < text.size();) {
    const size_t n_bytes = next_utf8(text.substr(begin)).n_bytes;
    const auto i = static_cast<int32_t>(runs.size());
    runs.push_back({begin, n_bytes, i - 1, i + 1});
    begin += n_bytes;
  }
  if (runs.empty()) return;
  runs.back().next = -1;

  std::priority_queue<Pair> pairs;
  const auto push_pair = [&](int32_t left, int32_t right) {
    if (left < 0 || right < 0) return;
    const Run& run = runs[static_cast<size_t>(left)];
    const size_t n_bytes = run.n_bytes + runs[static_cast<size_t>(right)].n_bytes;
    if (const Piece* piece = find(text.substr(run.begin, n_bytes)))
      pairs.push({piece->score, left, right, n_bytes});
  };
  for (int32_t i = 0; i + 1 < static_cast<int32_t>(runs.size()); ++i) push_pair(i, i + 1);
  while (!pairs.empty()) {
    const Pair best = pairs.top();
    pairs.pop();
    Run& left = runs[static_cast<size_t>(best.left)];
    Run& right = runs[static_cast<size_t>(best.right)];
    if (left.n_bytes == 0 || right.n_bytes == 0 || left.n_bytes + right.n_bytes != best.n_bytes) continue;
    left.n_bytes = best.n_bytes;
    left.next = right.next;
    right.n_bytes = 0;
    if (left.next >= 0) runs[static_cast<size_t>(left.next)].prev = best.left;
    push_pair(left.prev, best.left);
    push_pair(best.left, left.next);
  }
  for (int32_t i = 0; i >= 0; i = runs[static_cast<size_t>(i)].next) {
    const std::string_view run =
        text.substr(runs[static_cast<size_t>(i)].begin, runs[static_cast<size_t>(i)].n_bytes);
    if (const Piece* piece = find(run)) {
      out.push_back(piece->id);
    } else {
      append_bytes(run, out);
    }
  }
}

}  // namespace halod
