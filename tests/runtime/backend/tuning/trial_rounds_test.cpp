// Who wins when times differ from one run to the next.
#include "runtime/backend/tuning/trial_rounds.h"

#include <gtest/gtest.h>

#include <functional>
#include <vector>

namespace halod {
namespace {

/// Times by candidate and by how often it has run.
using Times = std::function<double(size_t candidate, int n_runs)>;

struct Played {
  TrialRounds rounds;
  std::vector<int> n_runs;
};

Played play(size_t n_candidates, const Times& times) {
  Played played{TrialRounds(n_candidates), std::vector<int>(n_candidates)};
  while (const auto next = played.rounds.next()) played.rounds.add(times(*next, played.n_runs[*next]++));
  return played;
}

TEST(TrialRoundsOfCandidates, GoToTheFastest) {
  const Played played = play(4, [](size_t i, int) { return i == 2 ? 0.9 : 1.0; });
  EXPECT_EQ(played.rounds.winner(), 2U);
  EXPECT_EQ(played.rounds.median(2), 0.9);
  EXPECT_EQ(played.rounds.median(0), 1.0);
}

TEST(TrialRoundsOfCandidates, GoToTheFirstWhereAnotherGainsLessThanNoise) {
  EXPECT_EQ(play(2, [](size_t i, int) { return i == 1 ? 0.98 : 1.0; }).rounds.winner(), 0U);
}

TEST(TrialRoundsOfCandidates, GoToTheFirstWhereTheBestWasLucky) {
  // 10 % faster in the rounds, and as often slower as faster in the final.
  const Played played = play(2, [](size_t i, int n) {
    return i == 0 ? 1.0 : n < 7 || n % 2 == 0 ? 0.9 : 1.1;
  });
  EXPECT_EQ(played.rounds.winner(), 0U);
  EXPECT_EQ(played.n_runs[1], 7 + 15);
}

TEST(TrialRoundsOfCandidates, LetTheHopelessLeave) {
  const Played played = play(3, [](size_t i, int) { return i == 1 ? 2.0 : i == 2 ? 0.9 : 1.0; });
  EXPECT_EQ(played.n_runs[1], 3);
  EXPECT_EQ(played.rounds.winner(), 2U);
}

TEST(TrialRoundsOfCandidates, NeverRunOneThatIsDropped) {
  TrialRounds rounds(3);
  rounds.drop(1);
  while (const auto next = rounds.next()) {
    ASSERT_NE(*next, 1U);
    rounds.add(*next == 2 ? 0.5 : 1.0);
  }
  EXPECT_EQ(rounds.winner(), 2U);
  EXPECT_EQ(rounds.median(1), 0);
}

TEST(TrialRoundsOfCandidates, AreNoneOfOneAlone) {
  const TrialRounds rounds(1);
  EXPECT_FALSE(rounds.next());
  EXPECT_EQ(rounds.winner(), 0U);
  EXPECT_EQ(rounds.median(0), 0);
}

}  // namespace
}  // namespace halod
