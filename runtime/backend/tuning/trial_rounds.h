// Which of several candidates is fastest, from times that differ from one run to the next: who runs when, and
// who has won.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

namespace halod {

/// All run alternately; those far behind leave soon, medians count. The best then plays a final against the
/// first, which is what runs untuned. Knows nothing of what is timed.
class TrialRounds {
 public:
  /// The untuned candidate is number 0. One candidate alone has won already.
  explicit TrialRounds(size_t n_candidates);

  /// Takes part no more. REQUIRES: it is not the first.
  void drop(size_t candidate) { runners_.at(candidate).is_out = true; }
  /// Who runs now; nothing: it is over.
  std::optional<size_t> next() const;
  /// The time of next()'s run, in any unit.
  void add(double seconds);

  // REQUIRES: it is over.

  /// The first unless another one is faster by more than noise.
  size_t winner() const;
  /// Of a candidate's runs in the last rounds that it took part in; 0: it never ran.
  double median(size_t candidate) const;

 private:
  struct Runner {
    std::vector<double> seconds = {};  ///< one entry per run
    bool is_out = false;
  };
  void drop_the_slow();
  void begin_final();

  std::vector<Runner> runners_;
  size_t next_ = 0;
  int round_ = 0, n_rounds_ = 0;
  std::optional<size_t> finalist_{};  ///< of the rounds before the final, which goes on or is over
};

}  // namespace halod
