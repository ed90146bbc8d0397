#include "runtime/text/tokenizer.h"

#include <fmt/format.h>

#include <unordered_map>

#include "runtime/text/byte_level.h"
#include "runtime/text/byte_pair_merger.h"
#include "runtime/text/pre_tokenizer.h"
#include "runtime/text/special_tokens.h"

namespace halod {
namespace {

using VocabularyMap = std::unordered_map<std::string_view, TokenId>;

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

bool is_control_type(TokenType type) { return type == TokenType::kControl || type == TokenType::kUnknown; }

/// Texts by id. Names of special tokens stand as they are; all others spell bytes.
TokenTexts decode_texts(const TokenizerData& data) {
  TokenTexts texts;
  size_t n_bytes = 0;
  for (const std::string& token : data.tokens) n_bytes += token.size();
  texts.reserve(data.tokens.size(), n_bytes);
  for (size_t i = 0; i < data.tokens.size(); ++i) {
    const bool is_special =
        is_control_type(data.token_types[i]) || data.token_types[i] == TokenType::kUserDefined;
    const auto bytes = is_special ? std::nullopt : decode_byte_level(data.tokens[i]);
    texts.append(bytes ? std::string_view(*bytes) : std::string_view(data.tokens[i]));
  }
  return texts;
}

/// What merges may produce and whole words may be: never control tokens, so that untrusted text cannot become
/// one.
VocabularyMap map_vocabulary(const TokenTexts& texts, const std::vector<TokenType>& types) {
  VocabularyMap map;
  map.reserve(texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    if (!is_control_type(types[i]) && !texts[i].empty()) map.emplace(texts[i], static_cast<TokenId>(i));
  }
  return map;
}

TokenId find_or_none(const VocabularyMap& map, std::string_view text) {
  const auto found = map.find(text);
  return found == map.end() ? kNoToken : found->second;
}

std::array<TokenId, 256> find_byte_tokens(const VocabularyMap& map) {
  std::array<TokenId, 256> tokens{};
  for (size_t byte = 0; byte < tokens.size(); ++byte) {
    const char text = static_cast<char>(static_cast<uint8_t>(byte));
    tokens[byte] = find_or_none(map, std::string_view(&text, 1));
  }
  return tokens;
}

Result<std::vector<Merge>> resolve_merges(const std::vector<std::string>& lines, const VocabularyMap& map) {
  std::vector<Merge> merges;
  merges.reserve(lines.size());
  for (size_t rank = 0; rank < lines.size(); ++rank) {
    const std::string_view line = lines[rank];
    const size_t space = line.find(' ', 1);
    const auto left = decode_byte_level(line.substr(0, space));
    const auto right =
        space == std::string_view::npos ? std::nullopt : decode_byte_level(line.substr(space + 1));
    if (!left || !right) {
      return Error{
          ErrorCode::kCorruptFile,
          fmt::format("tokenizer.ggml.merges[{}] is '{}'; expected two byte-level texts with a space between",
                      rank, line),
          "tokenizer.ggml.merges"};
    }
    const Merge merge{find_or_none(map, *left), find_or_none(map, *right), find_or_none(map, *left + *right)};
    // Converters that cut a vocabulary down leave merges of tokens that are gone; those can never apply.
    const bool applies = merge.left != kNoToken && merge.right != kNoToken && merge.merged != kNoToken;
    merges.push_back(applies ? merge : Merge{kNoToken, kNoToken, kNoToken});
  }
  std::erase_if(merges, [](const Merge& merge) { return merge.merged == kNoToken; });
  return merges;
}

std::vector<SpecialToken> collect_special(const TokenizerData& data) {
  std::vector<SpecialToken> special;
  for (size_t i = 0; i < data.tokens.size(); ++i) {
    const bool is_control = is_control_type(data.token_types[i]);
    if ((!is_control && data.token_types[i] != TokenType::kUserDefined) || data.tokens[i].empty()) continue;
    special.push_back({.name = data.tokens[i], .id = static_cast<TokenId>(i), .is_control = is_control});
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
  if (data.model != "gpt2") {
    return Error{
        ErrorCode::kUnsupported,
        fmt::format("tokenizer model '{}' is not supported; this build knows 'gpt2' (byte-level BPE)",
                    data.model),
        "tokenizer.ggml.model"};
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

struct Tokenizer::State {
  TokenTexts texts;
  std::vector<TokenType> types;
  VocabularyMap map;  // keys borrowed from `texts`
  PreTokenizer pre_tokenizer;
  BytePairMerger merger;
  SpecialTokens special;
  std::optional<TokenId> bos;
  std::optional<TokenId> eos;
  std::vector<TokenId> end_of_generation;
  bool add_bos;

  Result<> encode_plain(std::string_view text, BytePairMerger::Workspace& workspace,
                        std::vector<TokenId>& out) const {
    std::vector<std::string_view> words;
    if (Result<> result = pre_tokenizer.split(text, words); !result) return result;
    for (const std::string_view word : words) {
      const TokenId whole = pre_tokenizer.ignores_merges() ? find_or_none(map, word) : kNoToken;
      if (whole != kNoToken) {
        out.push_back(whole);
      } else {
        merger.encode(word, workspace, out);
      }
    }
    return {};
  }
};

Tokenizer::Tokenizer(std::unique_ptr<const State> state) : state_(std::move(state)) {}
Tokenizer::Tokenizer(Tokenizer&& other) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&& other) noexcept = default;
Tokenizer::~Tokenizer() = default;

Result<Tokenizer> Tokenizer::create(const TokenizerData& data) {
  if (Result<> result = check(data); !result) return result.error();
  Result<PreTokenizer> pre_tokenizer = PreTokenizer::create(data.pre);
  if (!pre_tokenizer) return pre_tokenizer.error();
  TokenTexts texts = decode_texts(data);
  VocabularyMap map = map_vocabulary(texts, data.token_types);
  Result<std::vector<Merge>> merges = resolve_merges(data.merges, map);
  if (!merges) return merges.error();
  BytePairMerger merger(find_byte_tokens(map), *merges);
  return Tokenizer(std::make_unique<const State>(State{
      .texts = std::move(texts),
      .types = data.token_types,
      .map = std::move(map),
      .pre_tokenizer = std::move(*pre_tokenizer),
      .merger = std::move(merger),
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
    if (Result<> result = state_->encode_plain(text.substr(done, end - done), workspace, ids); !result) {
      return result.error();
    }
    if (match.token != nullptr) ids.push_back(match.token->id);
    done = end + (match.token != nullptr ? match.token->name.size() : 0);
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
