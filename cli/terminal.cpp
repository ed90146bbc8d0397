#include "cli/terminal.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>

namespace halod::cli {
namespace {

int code_of(Colour colour) {
  switch (colour) {
    case Colour::kGreen:
      return 32;
    case Colour::kYellow:
      return 33;
    case Colour::kRed:
      return 31;
    case Colour::kDim:
      return 2;
    case Colour::kBold:
      break;
  }
  return 1;
}

}  // namespace

bool is_terminal(int fd) { return ::isatty(fd) != 0; }

Paint Paint::for_standard_output() {
  const char* no_color = std::getenv("NO_COLOR");
  return Paint(is_terminal(STDOUT_FILENO) && (no_color == nullptr || *no_color == '\0'));
}

std::string Paint::operator()(Colour colour, std::string_view text) const {
  if (!enabled_) return std::string(text);
  return fmt::format("\033[{}m{}\033[0m", code_of(colour), text);
}

}  // namespace halod::cli
