// Cuts a streamed answer where one of the client's stop strings appears.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace halod {

/// Holds back text that may be the beginning of a stop string, and nothing else. The match that is complete
/// first wins; of those complete at the same byte, the one that began first. So the result does not depend on
/// how the text was cut. Bytes: feed valid UTF-8 and what comes out is valid UTF-8. Thread: one.
class StopStrings {
 public:
  /// Empty strings are ignored. Cost: time linear in text x strings, memory linear in the strings.
  explicit StopStrings(const std::vector<std::string>& strings);

  /// The text that is certain to be before any stop string. After a match: always empty.
  std::string push(std::string_view text);
  /// The end of the answer: what was held back.
  std::string flush();

  bool stopped() const { return !matched_.empty(); }
  /// The stop string that was found; empty before.
  const std::string& matched() const { return matched_; }

 private:
  /// Knuth-Morris-Pratt: `fallback[n]` is the length of the longest proper prefix of `text` that ends text[0,
  /// n).
  struct Pattern {
    std::string text;
    std::vector<size_t> fallback;
    size_t n_matched = 0;
  };
  static void advance(Pattern& pattern, char next);

  std::vector<Pattern> patterns_;
  std::string held_;
  std::string matched_;
};

}  // namespace halod
