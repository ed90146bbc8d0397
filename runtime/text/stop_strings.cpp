#include "runtime/text/stop_strings.h"

#include <algorithm>
#include <utility>

namespace halod {

StopStrings::StopStrings(const std::vector<std::string>& strings) {
  for (const std::string& text : strings) {
    if (text.empty()) continue;
    Pattern pattern{.text = text, .fallback = std::vector<size_t>(text.size() + 1, 0)};
    for (size_t n = 1; n < text.size(); ++n) {
      size_t length = pattern.fallback[n];
      while (length > 0 && text[length] != text[n]) length = pattern.fallback[length];
      pattern.fallback[n + 1] = text[length] == text[n] ? length + 1 : 0;
    }
    patterns_.push_back(std::move(pattern));
  }
}

void StopStrings::advance(Pattern& pattern, char next) {
  while (pattern.n_matched > 0 && pattern.text[pattern.n_matched] != next) {
    pattern.n_matched = pattern.fallback[pattern.n_matched];
  }
  if (pattern.text[pattern.n_matched] == next) ++pattern.n_matched;
}

std::string StopStrings::push(std::string_view text) {
  if (stopped()) return {};
  for (const char next : text) {
    held_.push_back(next);
    const Pattern* found = nullptr;
    for (Pattern& pattern : patterns_) {
      advance(pattern, next);
      const bool complete = pattern.n_matched == pattern.text.size();
      if (complete && (found == nullptr || pattern.text.size() > found->text.size())) found = &pattern;
    }
    if (found != nullptr) {
      held_.resize(held_.size() - found->text.size());
      matched_ = found->text;
      return std::exchange(held_, {});
    }
  }
  size_t n_held = 0;
  for (const Pattern& pattern : patterns_) n_held = std::max(n_held, pattern.n_matched);
  std::string out = held_.substr(0, held_.size() - n_held);
  held_.erase(0, out.size());
  return out;
}

std::string StopStrings::flush() {
  for (Pattern& pattern : patterns_) pattern.n_matched = 0;
  return stopped() ? std::string() : std::exchange(held_, {});
}

}  // namespace halod
