// Finds control and added tokens in text.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"

namespace halod {

struct SpecialToken {
  std::string name;  ///< the text that stands for it; not empty
  TokenId id{};
  bool is_control = false;                         ///< found only where the text is trusted
  bool strips_left = false, strips_right = false;  ///< swallows the white space before, after it
};

/// Bytes of Unicode white space that `text` begins, ends with. Thread: any.
size_t leading_white_space(std::string_view text);
size_t trailing_white_space(std::string_view text);

/// Immutable once made. Thread: any.
class SpecialTokens {
 public:
  explicit SpecialTokens(std::vector<SpecialToken> tokens);

  struct Match {
    size_t begin = std::string_view::npos;  ///< npos: there is none
    const SpecialToken* token = nullptr;
  };
  /// The leftmost token at or after `from`, the longest of those that begin there.
  Match find(std::string_view text, size_t from, bool with_control) const;
  const SpecialToken* find_by_name(std::string_view name) const;

 private:
  /// Longest first, by first byte: nearly all begin with '<', so most positions are passed with one look-up.
  std::array<std::vector<SpecialToken>, 256> by_first_byte_;
};

}  // namespace halod
