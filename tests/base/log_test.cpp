#include "base/log.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

namespace halod {
namespace {

std::string current() {
  std::string text;
  for (const LogField& field : LogFields::current()) text += fmt::format("{}={};", field.name, field.value);
  return text;
}

TEST(LogFields, AreThereWhileTheyLiveAndNest) {
  EXPECT_EQ(current(), "");
  {
    const LogFields outer{{"HALOD_JOB", "1"}};
    {
      const LogFields inner{{"HALOD_MODEL", "demo"}, {"MESSAGE_ID", "x"}};
      EXPECT_EQ(current(), "HALOD_JOB=1;HALOD_MODEL=demo;MESSAGE_ID=x;");
    }
    EXPECT_EQ(current(), "HALOD_JOB=1;");
  }
  EXPECT_EQ(current(), "");
}

TEST(LogFields, BelongToTheirThread) {
  const LogFields fields{{"HALOD_JOB", "1"}};
  std::string seen = "nothing";
  std::thread([&seen] { seen = current(); }).join();
  EXPECT_EQ(seen, "");
}

TEST(StandardError, IsTheJournalOnlyIfItIsTheVeryFileThatJournalStreamNames) {
  struct stat status {};
  ASSERT_EQ(::fstat(STDERR_FILENO, &status), 0);
  ::unsetenv("JOURNAL_STREAM");
  EXPECT_FALSE(standard_error_is_journal());
  ::setenv("JOURNAL_STREAM", fmt::format("{}:{}", status.st_dev, status.st_ino).c_str(), 1);
  EXPECT_TRUE(standard_error_is_journal());
  ::setenv("JOURNAL_STREAM", fmt::format("{}:{}", status.st_dev, status.st_ino + 1).c_str(), 1);
  EXPECT_FALSE(standard_error_is_journal());
  ::unsetenv("JOURNAL_STREAM");
}

}  // namespace
}  // namespace halod
