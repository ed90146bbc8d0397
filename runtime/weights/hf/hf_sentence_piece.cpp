#include "runtime/weights/hf/hf_sentence_piece.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <string_view>
#include <unordered_map>

#include "runtime/weights/gguf_reader.h"

namespace halod {
namespace {

namespace json = boost::json;

constexpr std::string_view kSpace = "\xE2\x96\x81";  // U+2581

void require_space(const JsonObject& place, std::string_view key) {
  if (place.string(key).value_or(std::string(kSpace)) != kSpace)
    place.fail_unsupported(key, "is not '\xE2\x96\x81', as SentencePiece writes the space");
}

/// {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}.
void require_replaced_spaces(const JsonObject& step) {
  const auto pattern = step.object("pattern");
  if (!pattern || pattern->string("String") != " ")
    step.fail_unsupported("pattern", "is not the string ' '; only spaces are replaced");
  require_space(step, "content");
}

/// Of UTF-8: a byte that a character begins with.
bool begins_character(char byte) { return (byte & 0xc0) != 0x80; }

bool is_character(std::string_view text) { return std::ranges::count_if(text, begins_character) == 1; }

/// Steps of a Sequence, or the one step that stands alone.
std::vector<JsonObject> steps_of(const JsonObject& object, std::string_view list) {
  if (object.string("type") != "Sequence") return {object};
  std::vector<JsonObject> steps;
  for (const json::value& part : object.array(list)) {
    if (!part.is_object()) object.fail_corrupt(list, "holds what is no object");
    steps.push_back(object.element(list, part));
  }
  return steps;
}

}  // namespace

bool is_hf_sentence_piece(const JsonObject& tokenizer) {
  const auto model = tokenizer.object("model");
  return model && model->boolean("byte_fallback").value_or(false);
}

bool is_hf_byte_token(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  return text.size() == 6 && text.starts_with("<0x") && text.back() == '>' &&
         kDigits.find(text[3]) != std::string_view::npos && kDigits.find(text[4]) != std::string_view::npos;
}

HfSpacePrefix read_hf_space_prefix(const JsonObject& tokenizer) {
  HfSpacePrefix prefix;
  bool replaces = false;
  if (const auto normalizer = tokenizer.object("normalizer")) {
    for (const JsonObject& step : steps_of(*normalizer, "normalizers")) {
      const std::string type = step.required_string("type");
      if (type == "Prepend" && !replaces) {
        require_space(step, "prepend");
        prefix = {.at_beginning = true, .behind_special = true};
      } else if (type == "Replace") {
        require_replaced_spaces(step);
        replaces = true;
      } else {
        step.fail_unsupported("type",
                              fmt::format("is '{}' here; known are one Prepend, then one Replace, for a "
                                          "vocabulary with byte_fallback",
                                          printable(type)));
      }
    }
  }
  const auto pre = tokenizer.object("pre_tokenizer");
  if (pre) {
    const std::string type = pre->required_string("type");
    if (type != "Metaspace" || replaces || prefix.at_beginning) {
      pre->fail_unsupported("type", fmt::format("is '{}'; known is one Metaspace without a normalizer, for a "
                                                "vocabulary with byte_fallback",
                                                printable(type)));
    }
    require_space(*pre, "replacement");
    if (pre->boolean("split").value_or(true))
      pre->fail_unsupported("split", "is true: words would not be merged with their spaces");
    const std::string scheme = pre->string("prepend_scheme").value_or("always");
    if (scheme != "always" && scheme != "first" && scheme != "never") {
      pre->fail_unsupported("prepend_scheme",
                            fmt::format("is '{}'; supported are always, first, never", printable(scheme)));
    }
    prefix = {.at_beginning = scheme != "never", .behind_special = scheme == "always"};
    replaces = true;
  }
  if (!replaces) tokenizer.fail_unsupported("normalizer", "does not write spaces as '\xE2\x96\x81'");
  return prefix;
}

std::vector<double> hf_scores_of_merges(const JsonObject& model, const std::vector<std::string>& merges,
                                        const std::vector<std::string>& tokens,
                                        const std::vector<TokenType>& types) {
  std::unordered_map<std::string_view, size_t> ids;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (types[i] == TokenType::kNormal) ids.try_emplace(tokens[i], i);
  }
  // Pieces that no merge makes are characters, which nothing has to score.
  std::vector<double> scores(tokens.size());
  std::vector<size_t> n_merges(tokens.size());
  size_t last = tokens.size();
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const std::string_view merge = merges[rank];
    const size_t space = merge.find(' ');
    const std::string_view left = merge.substr(0, space), right = merge.substr(space + 1);
    const auto merged = ids.find(std::string(left).append(right));
    if (left.empty() || right.empty() || !ids.contains(left) || !ids.contains(right) || merged == ids.end()) {
      model.fail_corrupt("merges", fmt::format("holds merge {}, '{}', of what is not all in the vocabulary",
                                               rank, printable(merge)));
    }
    const size_t id = merged->second;
    if (n_merges[id] > 0 && id != last) {
      model.fail_unsupported("merges",
                             fmt::format("makes '{}' by merge {} and by earlier ones that do not stand "
                                         "right before it, which a piece's one score cannot say",
                                         printable(tokens[id]), rank));
    }
    if (n_merges[id]++ == 0) scores[id] = -static_cast<double>(rank) - 1;
    last = id;
  }
  for (const auto& [piece, id] : ids) {
    size_t n_ways = 0;
    // SentencePiece joins characters that are no pieces as well.
    const auto is_part = [&](std::string_view part) { return ids.contains(part) || is_character(part); };
    for (size_t at = 1; at < piece.size(); ++at) {
      if (begins_character(piece[at]) && is_part(piece.substr(0, at)) && is_part(piece.substr(at))) ++n_ways;
    }
    if (n_ways == n_merges[id]) continue;
    model.fail_unsupported("merges",
                           fmt::format("makes '{}' in {} of the {} ways that the vocabulary has, which "
                                       "SentencePiece's scores cannot say",
                                       printable(piece), n_merges[id], n_ways));
  }
  return scores;
}

}  // namespace halod
