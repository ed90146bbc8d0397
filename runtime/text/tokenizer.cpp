#include "runtime/text/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <functional>
#include <optional>
#include <utility>
#include <variant>

#include "runtime/text/byte_level.h"
#include "runtime/text/byte_pair_merger.h"
#include "runtime/text/pre_tokenizer.h"
#include "runtime/text/sentence_piece.h"
#include "runtime/text/special_tokens.h"

namespace halod {
namespace {

/// Every token's bytes in one block: 150 000 small strings would cost more to allocate than to read.
class TokenTexts {
 public:
  void reserve(size_t n_tokens, size_t n_bytes) {
    ends_.reserve(n_tokens);
    bytes_.reserve(n_bytes);
  }
  void append(std::string_view text) {
    bytes_.insert(bytes_.end(), text.begin(), text.end());
    ends_.push_back(bytes_.size());
  }
  size_t size() const { return ends_.size(); }
  std::string_view operator[](size_t i) const {
    const size_t begin = i == 0 ? 0 : ends_[i - 1];
    return {bytes_.data() + begin, ends_[i] - begin};
  }

 private:
  std::vector<char> bytes_;  // not a string: views into it must survive a move
  std::vector<size_t> ends_;
};

/// From a token's bytes to its id. Open addressing: one block of memory instead of a node for each token.
class TokenIndex {
 public:
  explicit TokenIndex(size_t n_tokens) : slots_(std::bit_ceil(2 * n_tokens + 2)) {}

  /// The first token of a text keeps it.
  void insert(const TokenTexts& texts, TokenId id) {
    const std::string_view text = texts[static_cast<size_t>(to_int(id))];
    Slot& slot = slots_[find_slot(texts, text, hash(text))];
    if (slot.id == kNoToken) slot = {hash(text), id};
  }

  TokenId find(const TokenTexts& texts, std::string_view text) const {
    return slots_[find_slot(texts, text, hash(text))].id;
  }

 private:
  struct Slot {
    uint32_t hash = 0;
    TokenId id = kNoToken;
  };

  static uint32_t hash(std::string_view text) {
    return static_cast<uint32_t>(std::hash<std::string_view>{}(text));
  }

  /// Where the text is, or where it would go.
  size_t find_slot(const TokenTexts& texts, std::string_view text, uint32_t hash) const {
    size_t i = hash & (slots_.size() - 1);
    for (; slots_[i].id != kNoToken; i = (i + 1) & (slots_.size() - 1)) {
      if (slots_[i].hash == hash && texts[static_cast<size_t>(to_int(slots_[i].id))] == text) break;
    }
    return i;
  }

  std::vector<Slot> slots_;  // at most half full
};

bool is_control_type(TokenType type) { return type == TokenType::kControl || type == TokenType::kUnknown; }

bool is_sentence_piece(const TokenizerData& data) { return data.model == "llama"; }

/// Texts by id. Names of special tokens stand as they are; all others spell bytes.
TokenTexts decode_texts(const TokenizerData& data) {
  TokenTexts texts;
  size_t n_bytes = 0;
  for (const std::string& token : data.tokens) n_bytes += token.size();
  texts.reserve(data.tokens.size(), n_bytes);
  std::string bytes;
  for (size_t i = 0; i < data.tokens.size(); ++i) {
    const bool is_special =
        is_control_type(data.token_types[i]) || data.token_types[i] == TokenType::kUserDefined;
    bytes.clear();
    if (is_sentence_piece(data) && !is_special) {
      append_decoded_piece(data.tokens[i], data.token_types[i], bytes);
      texts.append(bytes);
      continue;
    }
    const bool spells_bytes = !is_special && append_decoded_byte_level(data.tokens[i], bytes);
    texts.append(spells_bytes ? bytes : data.tokens[i]);
  }
  return texts;
}

/// What merges may produce and whole words may be: never control tokens, so that untrusted text cannot become
/// one.
TokenIndex index_vocabulary(const TokenTexts& texts, const std::vector<TokenType>& types) {
  TokenIndex index(texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    if (!is_control_type(types[i]) && !texts[i].empty()) index.insert(texts, static_cast<TokenId>(i));
  }
  return index;
}

std::array<TokenId, 256> find_byte_tokens(const TokenTexts& texts, const TokenIndex& index) {
  std::array<TokenId, 256> tokens{};
  for (size_t byte = 0; byte < tokens.size(); ++byte) {
    const char text = static_cast<char>(static_cast<uint8_t>(byte));
    tokens[byte] = index.find(texts, std::string_view(&text, 1));
  }
  return tokens;
}

Result<std::vector<Merge>> resolve_merges(const std::vector<std::string>& lines, const TokenTexts& texts,
                                          const TokenIndex& index) {
  std::vector<Merge> merges;
  merges.reserve(lines.size());
  std::string bytes;
  for (size_t rank = 0; rank < lines.size(); ++rank) {
    const std::string_view line = lines[rank];
    const size_t space = line.find(' ', 1);
    bytes.clear();
    bool is_valid =
        space != std::string_view::npos && append_decoded_byte_level(line.substr(0, space), bytes);
    const size_t n_left = bytes.size();
    is_valid = is_valid && append_decoded_byte_level(line.substr(space + 1), bytes);
    if (!is_valid) {
      return Error{ErrorCode::kCorruptFile,
                   fmt::format("tokenizer.ggml.merges[{}] is '{}'; expected two byte-level texts with a "
                               "space between",
                               rank, line),
                   "tokenizer.ggml.merges"};
    }
    const std::string_view merged = bytes;
    const Merge merge{index.find(texts, merged.substr(0, n_left)), index.find(texts, merged.substr(n_left)),
                      index.find(texts, merged)};
    // Converters that cut a vocabulary down leave merges of tokens that are gone; those can never apply.
    if (merge.left != kNoToken && merge.right != kNoToken && merge.merged != kNoToken)
      merges.push_back(merge);
  }
  return merges;
}

bool contains(const std::vector<TokenId>& ids, TokenId id) { return std::ranges::find(ids, id) != ids.end(); }

std::vector<SpecialToken> collect_special(const TokenizerData& data) {
  std::vector<SpecialToken> special;
  for (size_t i = 0; i < data.tokens.size(); ++i) {
    const bool is_control = is_control_type(data.token_types[i]);
    if ((!is_control && data.token_types[i] != TokenType::kUserDefined) || data.tokens[i].empty()) continue;
    const auto id = static_cast<TokenId>(i);
    special.push_back({.name = data.tokens[i],
                       .id = id,
                       .is_control = is_control,
                       .strips_left = contains(data.strips_left, id),
                       .strips_right = contains(data.strips_right, id)});
  }
  return special;
}

Result<> check_id(const std::optional<TokenId>& id, size_t vocab_size, std::string_view key) {
  if (!id || (to_int(*id) >= 0 && static_cast<size_t>(to_int(*id)) < vocab_size)) return {};
  return Error{ErrorCode::kCorruptFile,
               fmt::format("{} is {}, but the vocabulary has {} tokens", key, to_int(*id), vocab_size),
               std::string(key)};
}

Result<> check(const TokenizerData& data) {
  if (data.model != "gpt2" && !is_sentence_piece(data)) {
    return Error{
        ErrorCode::kUnsupported,
        fmt::format("tokenizer model '{}' is not supported; this build knows 'gpt2' (byte-level BPE) "
                    "and 'llama' (SentencePiece)",
                    data.model),
        "tokenizer.ggml.model"};
  }
  if (is_sentence_piece(data) && data.scores.size() != data.tokens.size()) {
    return Error{ErrorCode::kCorruptFile,
                 fmt::format("{} token scores for {} tokens; expected one for each", data.scores.size(),
                             data.tokens.size()),
                 "tokenizer.ggml.scores"};
  }
  if (data.tokens.empty()) {
    return Error{ErrorCode::kCorruptFile, "the vocabulary is empty", "tokenizer.ggml.tokens"};
  }
  if (data.token_types.size() != data.tokens.size()) {
    return Error{ErrorCode::kCorruptFile,
                 fmt::format("{} token types for {} tokens; expected one for each", data.token_types.size(),
                             data.tokens.size()),
                 "tokenizer.ggml.token_type"};
  }
  if (Result<> bos = check_id(data.bos, data.tokens.size(), "tokenizer.ggml.bos_token_id"); !bos) return bos;
  return check_id(data.eos, data.tokens.size(), "tokenizer.ggml.eos_token_id");
}

}  // namespace

namespace {

/// Words, and merges within them.
struct BytePairEncoder {
  TokenIndex index;
  PreTokenizer pre_tokenizer;
  BytePairMerger merger;
  bool ignores_merges;

  static Result<BytePairEncoder> create(const TokenizerData& data, const TokenTexts& texts) {
    Result<PreTokenizer> pre_tokenizer = PreTokenizer::create(data.pre);
    if (!pre_tokenizer) return pre_tokenizer.error();
    TokenIndex index = index_vocabulary(texts, data.token_types);
    const Result<std::vector<Merge>> merges = resolve_merges(data.merges, texts, index);
    if (!merges) return merges.error();
    BytePairMerger merger(find_byte_tokens(texts, index), *merges);
    const bool ignores_merges = data.ignores_merges.value_or(pre_tokenizer->ignores_merges());
    return BytePairEncoder{std::move(index), std::move(*pre_tokenizer), std::move(merger), ignores_merges};
  }

  Result<> encode(std::string_view text, const TokenTexts& texts, BytePairMerger::Workspace& workspace,
                  std::vector<TokenId>& out) const {
    std::vector<std::string_view> words;
    if (Result<> result = pre_tokenizer.split(text, words); !result) return result;
    for (const std::string_view word : words) {
      const TokenId whole = ignores_merges ? index.find(texts, word) : kNoToken;
      if (whole != kNoToken) {
        out.push_back(whole);
      } else {
        merger.encode(word, workspace, out);
      }
    }
    return {};
  }
};

/// SentencePiece's, and where text begins with a space that nobody wrote.
struct PieceEncoder {
  SentencePieceEncoder pieces;
  bool adds_space;
  bool adds_at_beginning_alone;

  void encode(std::string_view text, bool is_beginning, std::vector<TokenId>& out) const {
    if (adds_space && !text.empty() && (is_beginning || !adds_at_beginning_alone)) {
      pieces.encode(" " + std::string(text), out);
    } else {
      pieces.encode(text, out);
    }
  }
};

}  // namespace

struct Tokenizer::State {
  TokenTexts texts;
  std::vector<TokenType> types;
  std::variant<BytePairEncoder, PieceEncoder> encoder;
  SpecialTokens special;
  std::optional<TokenId> bos;
  std::optional<TokenId> eos;
  std::vector<TokenId> end_of_generation;
  bool add_bos;

  /// `text` stands at the beginning or behind a special token.
  Result<> encode_plain(std::string_view text, bool is_beginning, BytePairMerger::Workspace& workspace,
                        std::vector<TokenId>& out) const {
    if (const auto* byte_pairs = std::get_if<BytePairEncoder>(&encoder))
      return byte_pairs->encode(text, texts, workspace, out);
    std::get<PieceEncoder>(encoder).encode(text, is_beginning, out);
    return {};
  }
};

Tokenizer::Tokenizer(std::unique_ptr<const State> state) : state_(std::move(state)) {}
Tokenizer::Tokenizer(Tokenizer&& other) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&& other) noexcept = default;
Tokenizer::~Tokenizer() = default;

Result<Tokenizer> Tokenizer::create(const TokenizerData& data) {
  if (Result<> result = check(data); !result) return result.error();
  TokenTexts texts = decode_texts(data);
  std::optional<std::variant<BytePairEncoder, PieceEncoder>> encoder;
  if (is_sentence_piece(data)) {
    encoder.emplace(
        PieceEncoder{SentencePieceEncoder(data), data.add_space_prefix, data.prefixes_first_alone});
  } else {
    Result<BytePairEncoder> byte_pairs = BytePairEncoder::create(data, texts);
    if (!byte_pairs) return byte_pairs.error();
    encoder.emplace(std::move(*byte_pairs));
  }
  return Tokenizer(std::make_unique<const State>(State{
      .texts = std::move(texts),
      .types = data.token_types,
      .encoder = std::move(*encoder),
      .special = SpecialTokens(collect_special(data)),
      .bos = data.bos,
      .eos = data.eos,
      .end_of_generation = data.end_of_generation,
      .add_bos = data.add_bos,
  }));
}

Result<std::vector<TokenId>> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  std::vector<TokenId> ids;
  ids.reserve(text.size() / 4 + 1);
  if (options.add_special && state_->add_bos && state_->bos) ids.push_back(*state_->bos);
  BytePairMerger::Workspace workspace;
  size_t done = 0;
  while (done < text.size()) {
    const SpecialTokens::Match match = state_->special.find(text, done, options.parse_special);
    const size_t end = match.token != nullptr ? match.begin : text.size();
    std::string_view plain = text.substr(done, end - done);
    if (match.token != nullptr && match.token->strips_left) plain.remove_suffix(trailing_white_space(plain));
    if (Result<> result = state_->encode_plain(plain, done == 0, workspace, ids); !result)
      return result.error();
    done = end;
    if (match.token == nullptr) continue;
    ids.push_back(match.token->id);
    done += match.token->name.size();
    if (match.token->strips_right) done += leading_white_space(text.substr(done));
  }
  return ids;
}

std::string_view Tokenizer::token_text(TokenId id) const {
  if (to_int(id) < 0 || static_cast<size_t>(to_int(id)) >= vocab_size()) return {};
  return state_->texts[static_cast<size_t>(to_int(id))];
}

std::string Tokenizer::decode(std::span<const TokenId> ids, bool skip_special) const {
  std::string bytes;
  for (const TokenId id : ids) {
    if (!skip_special || !is_control(id)) bytes += token_text(id);
  }
  return bytes;
}

std::optional<TokenId> Tokenizer::find_special(std::string_view name) const {
  const SpecialToken* token = state_->special.find_by_name(name);
  return token != nullptr ? std::optional(token->id) : std::nullopt;
}

bool Tokenizer::is_control(TokenId id) const {
  return to_int(id) >= 0 && static_cast<size_t>(to_int(id)) < vocab_size() &&
         is_control_type(state_->types[static_cast<size_t>(to_int(id))]);
}

size_t Tokenizer::vocab_size() const { return state_->texts.size(); }
std::optional<TokenId> Tokenizer::bos() const { return state_->bos; }
std::optional<TokenId> Tokenizer::eos() const { return state_->eos; }
std::span<const TokenId> Tokenizer::end_of_generation() const { return state_->end_of_generation; }

}  // namespace halod
