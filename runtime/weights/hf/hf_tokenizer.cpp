#include "runtime/weights/hf/hf_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/weights/gguf_reader.h"
#include "runtime/weights/hf/generation_config.h"
#include "runtime/weights/hf/hf_sentence_piece.h"
#include "runtime/weights/hf/json_file.h"
#include "runtime/weights/metadata.h"

namespace halod {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

#define HALOD_HF_CONTRACTION "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define HALOD_HF_UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define HALOD_HF_LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
constexpr HfSplitRule kSplitRules[] = {
    {"gpt-2", ""},
    {"qwen2", HALOD_HF_CONTRACTION
     "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
    {"qwen35",
     HALOD_HF_CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*"
                          "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
    {"llama-bpe",
     HALOD_HF_CONTRACTION "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
                          "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
    {"gpt-4o", "[^\\r\\n\\p{L}\\p{N}]?" HALOD_HF_UPPER "*" HALOD_HF_LOWER "+" HALOD_HF_CONTRACTION "?"
               "|[^\\r\\n\\p{L}\\p{N}]?" HALOD_HF_UPPER "+" HALOD_HF_LOWER "*" HALOD_HF_CONTRACTION "?"
               "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},
};
#undef HALOD_HF_CONTRACTION
#undef HALOD_HF_UPPER
#undef HALOD_HF_LOWER

/// Ids without a token that a vocabulary may have; a hostile one must not make us allocate for more.
constexpr size_t kMaxHoles = 1 << 16;

constexpr int64_t type_number(TokenType type) { return static_cast<int64_t>(type); }

std::optional<JsonObject> read_optional_json(const fs::path& path) {
  auto file = read_json_file(path);
  if (file) return std::move(*file);
  if (file.error().code == ErrorCode::kNotFound) return std::nullopt;
  throw ErrorException(file.error());
}

/// A token's name in tokenizer_config.json: a string, or an object with its "content".
std::optional<std::string> token_name(const JsonObject& config, std::string_view key) {
  const json::value* value = config.find(key);
  if (value != nullptr && value->is_object()) return config.object(key)->string("content");
  return config.string(key);
}

/// tokenizer.json in GGUF's words, so that one reader checks both kinds of files.
class TokenizerTranslator {
 public:
  TokenizerTranslator(const JsonObject& tokenizer, int64_t n_embeddings)
      : tokenizer_(tokenizer), n_embeddings_(n_embeddings), metadata_(tokenizer.file_name()) {}

  Metadata translate(const std::optional<JsonObject>& config) {
    const auto model = tokenizer_.object("model");
    if (!model) tokenizer_.fail_corrupt("model", "is missing");
    is_sentence_piece_ = is_hf_sentence_piece(tokenizer_);
    insert("tokenizer.ggml.model", std::string(is_sentence_piece_ ? "llama" : "gpt2"), "model.type");
    if (is_sentence_piece_) {
      space_prefix_ = read_hf_space_prefix(tokenizer_);
      insert("tokenizer.ggml.add_space_prefix", space_prefix_.at_beginning, "normalizer");
    } else {
      check_normalizer();
      insert("tokenizer.ggml.pre", find_pre_tokenizer(), "pre_tokenizer");
    }
    check_model(*model);
    read_tokens(*model);
    read_merges(*model);
    read_ends(config);
    return std::move(metadata_);
  }

  /// For what GGUF has no word for.
  void complete(TokenizerData& data) const {
    if (const auto model = tokenizer_.object("model"))
      data.ignores_merges = model->boolean("ignore_merges").value_or(false);
    data.prefixes_first_alone = space_prefix_.at_beginning && !space_prefix_.behind_special;
    data.strips_left = strips_left_;
    data.strips_right = strips_right_;
  }

  std::optional<int64_t> id_of(std::string_view token) const {
    const auto entry = std::ranges::find(tokens_, token);
    if (token.empty() || entry == tokens_.end()) return std::nullopt;
    return entry - tokens_.begin();
  }

 private:
  void insert(const std::string& gguf_key, MetadataValue value, std::string name) {
    metadata_.set_name_in_file(gguf_key, std::move(name));
    metadata_.insert(gguf_key, std::move(value));
  }

  void check_normalizer() const {
    const auto normalizer = tokenizer_.object("normalizer");
    if (!normalizer) return;
    const std::string type = normalizer->string("type").value_or("");
    if (type != "NFC")
      normalizer->fail_unsupported("type", fmt::format("is '{}'; only NFC is supported", printable(type)));
  }

  std::string find_pre_tokenizer() const {
    const auto pre = tokenizer_.object("pre_tokenizer");
    if (!pre) tokenizer_.fail_unsupported("pre_tokenizer", "is missing; only byte-level BPE is supported");
    if (pre->string("type") == "ByteLevel") return known_rule(*pre, byte_level_regex(*pre));
    if (pre->string("type") != "Sequence")
      pre->fail_unsupported("type", "is neither Sequence nor ByteLevel; only byte-level BPE is supported");
    std::optional<std::string> regex;
    bool has_byte_level = false;
    for (const json::value& part : pre->array("pretokenizers")) {
      if (!part.is_object()) pre->fail_corrupt("pretokenizers", "holds what is no object");
      const JsonObject step = pre->element("pretokenizers", part);
      const std::string type = step.required_string("type");
      if (type == "ByteLevel" && !has_byte_level) {
        has_byte_level = true;
        const auto own = byte_level_regex(step);
        if (own && regex) step.fail_unsupported("use_regex", "is true after another expression");
        if (own) regex = own;
      } else if (type == "Split" && !regex && !has_byte_level) {
        regex = split_regex(step);
      } else {
        step.fail_unsupported(
            "type", fmt::format("is '{}' here; known are one Split and one ByteLevel", printable(type)));
      }
    }
    if (!has_byte_level)
      pre->fail_unsupported("pretokenizers", "has no ByteLevel; only byte-level BPE is supported");
    return known_rule(*pre, regex);
  }

  /// "": its own expression; nothing: it splits no text.
  static std::optional<std::string> byte_level_regex(const JsonObject& byte_level) {
    if (byte_level.boolean("add_prefix_space").value_or(true))
      byte_level.fail_unsupported("add_prefix_space", "is true; only false is supported");
    if (byte_level.boolean("use_regex").value_or(true)) return "";
    return std::nullopt;
  }

  static std::string split_regex(const JsonObject& split) {
    const std::string behavior = split.required_string("behavior");
    // The expressions match every text from end to end, so removing what lies between is no difference.
    const bool is_inverted = split.boolean("invert").value_or(false);
    if (behavior != (is_inverted ? "Removed" : "Isolated")) {
      split.fail_unsupported("behavior", fmt::format("is '{}', inverted: {}; known are Isolated, and Removed "
                                                     "where it is inverted",
                                                     printable(behavior), is_inverted));
    }
    const auto pattern = split.object("pattern");
    if (!pattern || !pattern->contains("Regex"))
      split.fail_unsupported("pattern", "is no Regex that halod knows");
    return pattern->required_string("Regex");
  }

  static std::string known_rule(const JsonObject& pre, const std::optional<std::string>& regex) {
    for (const HfSplitRule& rule : kSplitRules) {
      if (regex && *regex == rule.regex) return std::string(rule.pre);
    }
    pre.fail_unsupported("", fmt::format("splits text by {}, which is none of the expressions that halod "
                                         "knows; another one's rules would give the model wrong tokens",
                                         regex ? "'" + printable(*regex) + "'" : "nothing"));
  }

  void check_model(const JsonObject& model) const {
    const std::string type = model.string("type").value_or("BPE");  // absent in old files
    if (type != "BPE")
      model.fail_unsupported("type", fmt::format("is '{}'; only BPE is supported", printable(type)));
    if (is_sentence_piece_ && model.boolean("ignore_merges").value_or(false))
      model.fail_unsupported("ignore_merges", "is true; only false is supported with byte_fallback");
    for (const std::string_view key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      if (!model.string(key).value_or("").empty()) model.fail_unsupported(key, "is not empty");
    }
    if (model.real("dropout").value_or(0) != 0) model.fail_unsupported("dropout", "is not 0");
  }

  void put_token(const JsonObject& place, std::string_view key, int64_t id, std::string_view text,
                 TokenType type) {
    const size_t idx = static_cast<size_t>(id);
    if (types_[idx] != type_number(TokenType::kUnused) && tokens_[idx] != text) {
      place.fail_corrupt(key, fmt::format("gives id {} to '{}', which is '{}' already", id, printable(text),
                                          printable(tokens_[idx])));
    }
    tokens_[idx] = text;
    types_[idx] = type_number(type);
  }

  void check_id(const JsonObject& place, std::string_view key, int64_t id, size_t n_entries) {
    const auto limit = static_cast<int64_t>(n_entries + kMaxHoles);
    if (id < 0 || id >= limit || (n_embeddings_ > 0 && id >= n_embeddings_)) {
      place.fail_corrupt(key, fmt::format("is token {}, but there are {} tokens and {} embeddings", id,
                                          n_entries, n_embeddings_));
    }
    const size_t n_needed = static_cast<size_t>(id) + 1;
    if (tokens_.size() >= n_needed) return;
    tokens_.resize(n_needed);
    types_.resize(n_needed, type_number(TokenType::kUnused));
  }

  void read_tokens(const JsonObject& model) {
    const auto vocab = model.object("vocab");
    if (!vocab || vocab->fields().empty()) model.fail_corrupt("vocab", "is missing or empty");
    const auto added = tokenizer_.array("added_tokens");
    const size_t n_entries = vocab->fields().size() + added.size();
    for (const auto& [text, value] : vocab->fields()) {
      const int64_t id = vocab->required_integer(text);
      check_id(*vocab, text, id, n_entries);
      put_token(*vocab, text, id, text, type_of_piece(model, text));
    }
    for (const json::value& value : added) {
      if (!value.is_object()) tokenizer_.fail_corrupt("added_tokens", "holds what is no object");
      const JsonObject token = tokenizer_.element("added_tokens", value);
      const int64_t id = token.required_integer("id");
      check_id(token, "id", id, n_entries);
      put_token(token, "id", id, token.required_string("content"),
                token.boolean("special").value_or(false) ? TokenType::kControl : TokenType::kUserDefined);
      if (token.boolean("single_word").value_or(false)) token.fail_unsupported("single_word", "is true");
      const auto token_id = static_cast<TokenId>(id);
      if (token.boolean("lstrip").value_or(false)) strips_left_.push_back(token_id);
      if (token.boolean("rstrip").value_or(false)) strips_right_.push_back(token_id);
    }
    metadata_.set_name_in_file("tokenizer.ggml.tokens", "model.vocab");
    metadata_.insert("tokenizer.ggml.tokens", MetadataArray(tokens_));
    insert("tokenizer.ggml.token_type", MetadataArray(types_), "added_tokens");
  }

  /// Of SentencePiece, bytes and the unknown token are no text.
  TokenType type_of_piece(const JsonObject& model, std::string_view text) const {
    if (!is_sentence_piece_) return TokenType::kNormal;
    if (is_hf_byte_token(text)) return TokenType::kByte;
    return model.string("unk_token") == text ? TokenType::kUnknown : TokenType::kNormal;
  }

  /// "a b", or since 2024 ["a", "b"].
  void read_merges(const JsonObject& model) {
    std::vector<std::string> merges;
    for (const json::value& merge : model.array("merges")) {
      if (merge.is_string()) {
        merges.emplace_back(merge.get_string());
        continue;
      }
      const json::array* pair = merge.if_array();
      if (pair == nullptr || pair->size() != 2 || !(*pair)[0].is_string() || !(*pair)[1].is_string())
        model.fail_corrupt("merges", fmt::format("holds merge {} that is no pair of texts", merges.size()));
      merges.push_back(fmt::format("{} {}", std::string_view((*pair)[0].get_string()),
                                   std::string_view((*pair)[1].get_string())));
    }
    if (is_sentence_piece_) {
      std::vector<TokenType> types;
      for (const int64_t type : types_) types.push_back(static_cast<TokenType>(type));
      return insert("tokenizer.ggml.scores",
                    MetadataArray(hf_scores_of_merges(model, merges, tokens_, types)), "model.merges");
    }
    insert("tokenizer.ggml.merges", MetadataArray(std::move(merges)), "model.merges");
  }

  /// Which tokens begin and end a text.
  void read_ends(const std::optional<JsonObject>& config) {
    std::optional<std::string> bos = template_bos();
    bool adds_bos = bos.has_value();
    if (config) {
      if (const auto id = named_token(*config, "eos_token"))
        insert("tokenizer.ggml.eos_token_id", *id, "eos_token");
      adds_bos = config->boolean("add_bos_token").value_or(adds_bos);
      if (config->contains("bos_token")) bos = token_name(*config, "bos_token");
    }
    if (bos) {
      if (const auto id = id_of(*bos)) insert("tokenizer.ggml.bos_token_id", *id, "bos_token");
    }
    insert("tokenizer.ggml.add_bos_token", adds_bos && metadata_.contains("tokenizer.ggml.bos_token_id"),
           "add_bos_token");
  }

  std::optional<int64_t> named_token(const JsonObject& config, std::string_view key) const {
    const auto name = token_name(config, key);
    if (!name) return std::nullopt;
    const auto id = id_of(*name);
    if (!id)
      config.fail_corrupt(key, fmt::format("is '{}', which tokenizer.json does not have", printable(*name)));
    return id;
  }

  /// The token that the post-processor puts before every text.
  std::optional<std::string> template_bos() const {
    const auto post = tokenizer_.object("post_processor");
    if (!post) return std::nullopt;
    if (const auto name = first_special(*post)) return name;
    for (const json::value& part : post->array("processors")) {
      if (!part.is_object()) post->fail_corrupt("processors", "holds what is no object");
      if (const auto name = first_special(post->element("processors", part))) return name;
    }
    return std::nullopt;
  }

  static std::optional<std::string> first_special(const JsonObject& processor) {
    if (processor.string("type") != "TemplateProcessing") return std::nullopt;
    const auto pieces = processor.array("single");
    if (pieces.empty() || !pieces.front().is_object()) return std::nullopt;
    const auto special = processor.element("single", pieces.front()).object("SpecialToken");
    return special ? special->string("id") : std::nullopt;
  }

  const JsonObject& tokenizer_;
  int64_t n_embeddings_;
  Metadata metadata_;
  std::vector<std::string> tokens_;
  std::vector<int64_t> types_;
  std::vector<TokenId> strips_left_, strips_right_;
  bool is_sentence_piece_ = false;
  HfSpacePrefix space_prefix_;
};

/// chat_template.jinja wins; in tokenizer_config.json it is a text, or a list of named ones.
std::string read_chat_template(const fs::path& folder, const std::optional<JsonObject>& config) {
  const auto file = read_text_file(folder / "chat_template.jinja");
  if (file) return *file;
  if (file.error().code != ErrorCode::kNotFound) throw ErrorException(file.error());
  if (!config) return {};
  const json::value* value = config->find("chat_template");
  if (value == nullptr || !value->is_array()) return config->string("chat_template").value_or("");
  for (const json::value& entry : value->get_array()) {
    if (!entry.is_object()) config->fail_corrupt("chat_template", "holds what is no object");
    const JsonObject named = config->element("chat_template", entry);
    if (named.required_string("name") == "default") return named.required_string("template");
  }
  return {};
}

}  // namespace

std::span<const HfSplitRule> hf_split_rules() { return kSplitRules; }

Result<TokenizerData> read_hf_tokenizer(const fs::path& folder, int64_t n_embeddings) {
  try {
    const JsonObject tokenizer = read_json_file(folder / "tokenizer.json").value();
    const auto config = read_optional_json(folder / "tokenizer_config.json");
    TokenizerTranslator translator(tokenizer, n_embeddings);
    TokenizerData data = read_tokenizer_data(translator.translate(config)).value();
    translator.complete(data);
    const auto generation = read_optional_json(folder / "generation_config.json");
    add_ends_of_generation(generation, data);
    if (generation) data.sampling = read_sampling_defaults(*generation);
    add_ends_of_generation(read_optional_json(folder / "config.json"), data);
    data.chat_template = read_chat_template(folder, config);
    return data;
  } catch (const ErrorException& exception) {
    return exception.error();
  }
}

}  // namespace halod
