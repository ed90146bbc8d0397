#include "runtime/text/special_tokens.h"

#include <algorithm>
#include <cstdint>

namespace halod {

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
