// What standard output is.
#pragma once

#include <string>
#include <string_view>

namespace halod::cli {

/// Whether a person watches: cursors may move and lines be redrawn. Thread: any.
bool is_terminal(int fd);

enum class Colour { kGreen, kYellow, kRed, kDim, kBold };

/// Escape sequences, or nothing: off where standard output is no terminal, and where NO_COLOR is set
/// (no-color.org).
class Paint {
 public:
  explicit Paint(bool enabled) : enabled_(enabled) {}
  static Paint for_standard_output();
  std::string operator()(Colour colour, std::string_view text) const;

 private:
  bool enabled_;
};

}  // namespace halod::cli
