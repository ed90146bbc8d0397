// Token bytes in, whole code points out.
#pragma once

#include <string>
#include <string_view>

namespace halod {

/// A token may end inside a code point. This holds the unfinished bytes back until the rest arrives; bytes
/// that can never become valid are replaced by U+FFFD (one per maximal subpart, as browsers do). The
/// concatenation of all that it returns depends only on the bytes pushed, not on how they were cut. Thread:
/// one.
class Utf8Stream {
 public:
  /// What can be shown now: always valid UTF-8, possibly empty.
  std::string push(std::string_view bytes);
  /// The end: what is still held back, as U+FFFD. The stream can be used again afterwards.
  std::string flush();

 private:
  std::string pending_;  // at most 3 bytes between calls
};

}  // namespace halod
