#include "runtime/text/special_tokens.h"

#include <algorithm>
#include <cstdint>
#include <iterator>

namespace halod {
namespace {

/// Unicode's White_Space property.
constexpr std::string_view kWhiteSpace[] = {
    " ",      "\n",     "\r",     "\t",     "\v",     "\f",     "\u0085", "\u00a0", "\u1680",
    "\u2000", "\u2001", "\u2002", "\u2003", "\u2004", "\u2005", "\u2006", "\u2007", "\u2008",
    "\u2009", "\u200a", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"};

}  // namespace

size_t leading_white_space(std::string_view text) {
  const std::string_view whole = text;
  for (;;) {
    const auto space =
        std::ranges::find_if(kWhiteSpace, [&](std::string_view s) { return text.starts_with(s); });
    if (space == std::end(kWhiteSpace)) return whole.size() - text.size();
    text.remove_prefix(space->size());
  }
}

size_t trailing_white_space(std::string_view text) {
  const std::string_view whole = text;
  for (;;) {
    const auto space =
        std::ranges::find_if(kWhiteSpace, [&](std::string_view s) { return text.ends_with(s); });
    if (space == std::end(kWhiteSpace)) return whole.size() - text.size();
    text.remove_suffix(space->size());
  }
}

SpecialTokens::SpecialTokens(std::vector<SpecialToken> tokens) {
  for (SpecialToken& token : tokens) {
    const auto first = static_cast<uint8_t>(token.name.front());
    by_first_byte_[first].push_back(std::move(token));
  }
  for (auto& bucket : by_first_byte_) {
    std::stable_sort(bucket.begin(), bucket.end(), [](const SpecialToken& a, const SpecialToken& b) {
      return a.name.size() > b.name.size();
    });
  }
}

SpecialTokens::Match SpecialTokens::find(std::string_view text, size_t from, bool with_control) const {
  for (size_t i = from; i < text.size(); ++i) {
    for (const SpecialToken& token : by_first_byte_[static_cast<uint8_t>(text[i])]) {
      if ((with_control || !token.is_control) && text.substr(i, token.name.size()) == token.name)
        return {i, &token};
    }
  }
  return {};
}

const SpecialToken* SpecialTokens::find_by_name(std::string_view name) const {
  if (name.empty()) return nullptr;
  for (const SpecialToken& token : by_first_byte_[static_cast<uint8_t>(name.front())]) {
    if (token.name == name) return &token;
  }
  return nullptr;
}

}  // namespace halod
