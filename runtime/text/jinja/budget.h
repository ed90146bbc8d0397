// What one rendering may use. Templates come with model files and contexts with requests: neither may hang or
// exhaust the daemon.
#pragma once

#include <cstdint>

#include "runtime/text/jinja/template_error.h"

namespace halod::jinja {

/// About two seconds of work; a conversation of a thousand messages needs a hundredth of it.
inline constexpr uint64_t kMaxSteps = 20'000'000;
/// Bytes of all strings and lists made by one rendering, garbage included. A prompt of a million tokens is
/// about 5 MB, and templates copy each message some five times.
inline constexpr uint64_t kMaxBytes = 256U << 20U;
/// Nested calls, blocks and expressions while rendering; each takes some hundred bytes of stack (more under
/// sanitizers).
inline constexpr int kMaxCallDepth = 800;
/// Nesting of lists and dictionaries, which are destroyed, compared and printed recursively.
inline constexpr int kMaxValueDepth = 200;
/// Nesting of the template's source: parentheses, operators in a row, blocks.
inline constexpr int kMaxSourceDepth = 200;
/// As in Jinja's sandbox.
inline constexpr int64_t kMaxRangeItems = 100'000;

/// Thread: one rendering.
class Budget {
 public:
  void step(uint64_t n = 1) {
    if (n > steps_left_) fail("the template runs too long (limit: 20 million steps)");
    steps_left_ -= n;
  }
  /// Call before making a string or list of this size. Copying costs time, too.
  void allocate(uint64_t n_bytes) {
    if (n_bytes > bytes_left_) fail("the template makes too much text (limit: 256 MiB in all)");
    bytes_left_ -= n_bytes;
    step(n_bytes / 64);
  }

  /// One level of nesting for its lifetime.
  class Level {
   public:
    explicit Level(Budget& budget) : budget_(budget) {
      if (++budget_.depth_ > kMaxCallDepth) {
        --budget_.depth_;
        fail("the template nests too deep (endless recursion?)");
      }
    }
    ~Level() { --budget_.depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    Budget& budget_;
  };

 private:
  uint64_t steps_left_ = kMaxSteps;
  uint64_t bytes_left_ = kMaxBytes;
  int depth_ = 0;
};

}  // namespace halod::jinja
