#define PCRE2_CODE_UNIT_WIDTH 8
#include "runtime/text/pre_tokenizer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <pcre2.h>

#include <algorithm>
#include <array>

#include "runtime/text/utf8.h"

namespace halod {
namespace {

// The expressions are those of the models' own tokenizer.json. "(?i:'s|…)" is spelt out: under Unicode case
// folding it would also match U+017F (long s), which the models' tokenizers do not.
#define HALOD_CONTRACTION "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]"
#define HALOD_UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define HALOD_LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"

constexpr std::string_view kGpt2 =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
constexpr std::string_view kQwen2 = HALOD_CONTRACTION
    "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
constexpr std::string_view kQwen35 = HALOD_CONTRACTION
    "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| "
    "?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
constexpr std::string_view kLlama3 = HALOD_CONTRACTION
    "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
constexpr std::string_view kGpt4o =
    "[^\\r\\n\\p{L}\\p{N}]?" HALOD_UPPER "*" HALOD_LOWER "+(?:" HALOD_CONTRACTION
    ")?"
    "|[^\\r\\n\\p{L}\\p{N}]?" HALOD_UPPER "+" HALOD_LOWER "*(?:" HALOD_CONTRACTION
    ")?"
    "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

#undef HALOD_CONTRACTION
#undef HALOD_UPPER
#undef HALOD_LOWER

const std::array kRules = {
    PreTokenizerRule{.name = "gpt-2", .expressions = {kGpt2}},
    PreTokenizerRule{.name = "qwen2", .expressions = {kQwen2}},
    PreTokenizerRule{.name = "qwen35", .expressions = {kQwen35}},
    PreTokenizerRule{.name = "llama-bpe", .expressions = {kLlama3}, .ignores_merges = true},
    PreTokenizerRule{.name = "llama3", .expressions = {kLlama3}, .ignores_merges = true},
    PreTokenizerRule{.name = "llama-v3", .expressions = {kLlama3}, .ignores_merges = true},
    // Not Tekken's own expression: what the converted tokenizer.json of Pixtral and Nemotron-3 has.
    PreTokenizerRule{.name = "pixtral", .expressions = {kLlama3}, .ignores_merges = true},
    PreTokenizerRule{.name = "glm4", .expressions = {kLlama3}},
    PreTokenizerRule{.name = "gpt-4o", .expressions = {kGpt4o}},
    PreTokenizerRule{.name = "minimax-m2", .expressions = {kGpt4o}},
};

std::string pcre2_message(int code) {
  std::array<PCRE2_UCHAR, 256> buffer{};
  if (pcre2_get_error_message(code, buffer.data(), buffer.size()) < 0)
    return fmt::format("PCRE2 error {}", code);
  return std::string(buffer.begin(), std::find(buffer.begin(), buffer.end(), PCRE2_UCHAR{0}));
}

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeMatchData {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};

}  // namespace

/// One compiled expression.
class PreTokenizer::Expression {
 public:
  explicit Expression(std::string_view pattern) {
    int code = 0;
    PCRE2_SIZE offset = 0;
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                              PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code, &offset, nullptr));
    HALOD_ASSERT(code_ != nullptr);  // the table's own expressions
    // Where there is no JIT (an unusual CPU, a hardened kernel) matching is slower and otherwise the same.
    static_cast<void>(pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE));
  }

  /// REQUIRES: `text` is valid UTF-8.
  Result<> split(std::string_view text, std::vector<std::string_view>& pieces) const {
    // Of its own for each call: a match block must not be shared between threads.
    const std::unique_ptr<pcre2_match_data, FreeMatchData> match(pcre2_match_data_create(1, nullptr));
    if (match == nullptr) return Error{ErrorCode::kOutOfMemory, "no memory to split text into words"};
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(match.get());
    size_t done = 0;
    while (done < text.size()) {
      int n = pcre2_match(code_.get(), subject, text.size(), done, PCRE2_NO_UTF_CHECK, match.get(), nullptr);
      if (n == PCRE2_ERROR_JIT_STACKLIMIT) {
        // The interpreter keeps its state on the heap.
        n = pcre2_match(code_.get(), subject, text.size(), done, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                        match.get(), nullptr);
      }
      if (n == PCRE2_ERROR_NOMATCH) break;
      // Zero (more groups than the match block holds) is a match, too.
      if (n < 0) {
        return Error{ErrorCode::kInternal,
                     fmt::format("splitting {} bytes of text into words failed at byte {}: {}", text.size(),
                                 done, pcre2_message(n))};
      }
      if (bounds[0] > done) pieces.push_back(text.substr(done, bounds[0] - done));
      HALOD_ASSERT(bounds[1] > bounds[0]);  // no rule's expression matches the empty string
      pieces.push_back(text.substr(bounds[0], bounds[1] - bounds[0]));
      done = bounds[1];
    }
    if (done < text.size()) pieces.push_back(text.substr(done));
    return {};
  }

 private:
  std::unique_ptr<pcre2_code, FreeCode> code_;
};

std::span<const PreTokenizerRule> pre_tokenizer_rules() { return kRules; }

PreTokenizer::PreTokenizer() = default;
PreTokenizer::PreTokenizer(PreTokenizer&& other) noexcept = default;
PreTokenizer& PreTokenizer::operator=(PreTokenizer&& other) noexcept = default;
PreTokenizer::~PreTokenizer() = default;

Result<PreTokenizer> PreTokenizer::create(std::string_view name) {
  for (const PreTokenizerRule& rule : kRules) {
    if (rule.name != name) continue;
    PreTokenizer result;
    result.rule_ = &rule;
    for (const std::string_view pattern : rule.expressions) result.expressions_.emplace_back(pattern);
    return result;
  }
  std::vector<std::string_view> known;
  for (const PreTokenizerRule& rule : kRules) known.push_back(rule.name);
  return Error{
      ErrorCode::kUnsupported,
      fmt::format("pre-tokenizer '{}' is not known; this build knows {}. Another one's rules would give the "
                  "model wrong tokens",
                  name, fmt::join(known, ", ")),
      "tokenizer.ggml.pre"};
}

Result<> PreTokenizer::split_valid(std::string_view text, std::vector<std::string_view>& pieces) const {
  if (expressions_.size() == 1) return expressions_.front().split(text, pieces);
  std::vector<std::string_view> current = {text};
  for (const Expression& expression : expressions_) {
    std::vector<std::string_view> next;
    for (const std::string_view piece : current) {
      if (Result<> result = expression.split(piece, next); !result) return result;
    }
    current = std::move(next);
  }
  pieces.insert(pieces.end(), current.begin(), current.end());
  return {};
}

Result<> PreTokenizer::split(std::string_view text, std::vector<std::string_view>& pieces) const {
  // Valid runs are checked once here and not by each match: that would be quadratic in the number of words.
  while (!text.empty()) {
    const size_t n_valid = valid_utf8_prefix(text);
    if (n_valid > 0) {
      if (Result<> result = split_valid(text.substr(0, n_valid), pieces); !result) return result;
      text.remove_prefix(n_valid);
    }
    size_t n_invalid = 0;
    while (n_invalid < text.size()) {
      const Utf8Step step = next_utf8(text.substr(n_invalid));
      if (step.kind == Utf8Kind::kValid) break;
      n_invalid += step.n_bytes;
    }
    if (n_invalid > 0) pieces.push_back(text.substr(0, n_invalid));
    text.remove_prefix(n_invalid);
  }
  return {};
}

}  // namespace halod
