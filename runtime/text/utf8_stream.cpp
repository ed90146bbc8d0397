#include "runtime/text/utf8_stream.h"

#include "runtime/text/utf8.h"

namespace halod {

std::string Utf8Stream::push(std::string_view bytes) {
  pending_ += bytes;
  std::string out;
  std::string_view rest = pending_;
  while (!rest.empty()) {
    const size_t n_valid = valid_utf8_prefix(rest);
    out += rest.substr(0, n_valid);
    rest.remove_prefix(n_valid);
    if (rest.empty()) break;
    const Utf8Step step = next_utf8(rest);
    if (step.kind == Utf8Kind::kIncomplete) break;
    out += kReplacementUtf8;
    rest.remove_prefix(step.n_bytes);
  }
  pending_ = std::string(rest);
  return out;
}

std::string Utf8Stream::flush() {
  // What is pending is one unfinished code point: push() has consumed everything before it.
  std::string out(pending_.empty() ? std::string_view() : kReplacementUtf8);
  pending_.clear();
  return out;
}

}  // namespace halod
