#include "cli/format.h"

#include <gtest/gtest.h>

#include <cmath>

#include "cli/exit_status.h"
#include "cli/terminal.h"

namespace halod::cli {
namespace {

constexpr uint64_t kGiB = uint64_t{1} << 30;

TEST(Bytes, ArePowersOf1024WithOneDecimalWhereItSaysSomething) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1024), "1 KiB");
  EXPECT_EQ(format_bytes(120 * kGiB), "120 GiB");
  EXPECT_EQ(format_bytes(15 * kGiB + kGiB / 2), "15.5 GiB");
  EXPECT_EQ(format_bytes(kGiB - 1), "1 GiB");  // not 1024 MiB
  EXPECT_EQ(format_bytes(~uint64_t{0}), "16777216 TiB");
}

TEST(Seconds, GetCoarserAsTheyGrow) {
  EXPECT_EQ(format_seconds(-1), "0.0 s");
  EXPECT_EQ(format_seconds(0.42), "0.4 s");
  EXPECT_EQ(format_seconds(9.96), "10 s");
  EXPECT_EQ(format_seconds(59.7), "1 min 0 s");
  EXPECT_EQ(format_seconds(7800), "2 h 10 min");
}

TEST(ABar, IsFullOnlyAtTheEnd) {
  EXPECT_EQ(format_bar(0, 10), "[          ]   0%");
  EXPECT_EQ(format_bar(0.45, 10), "[####      ]  45%");
  EXPECT_EQ(format_bar(0.999, 10), "[######### ]  99%");
  EXPECT_EQ(format_bar(1, 10), "[##########] 100%");
  EXPECT_EQ(format_bar(7, 10), "[##########] 100%");
  EXPECT_EQ(format_bar(std::nan(""), 10), "[          ]   0%");
}

TEST(ATable, AlignsColumnsByWhatTheyShow) {
  Table table({"NAME", "STATE", "NOTES"});
  EXPECT_TRUE(table.empty());
  table.add({"größer", "loaded", "active"});
  table.add({"b", "-", ""});
  EXPECT_EQ(table.to_string(),
            "NAME    STATE   NOTES\n"
            "größer  loaded  active\n"
            "b       -\n");
}

TEST(Paint, WritesEscapesOnlyWhereTheyAreWanted) {
  EXPECT_EQ(Paint(false)(Colour::kRed, "no"), "no");
  EXPECT_EQ(Paint(true)(Colour::kRed, "no"), "\033[31mno\033[0m");
}

TEST(ExitStatuses, AreDocumentedOnceEach) {
  int next = 0;
  for (const ExitStatusRow& row : exit_statuses()) {
    EXPECT_EQ(row.status, next++);
    EXPECT_NE(exit_status_sentence().find(row.meaning), std::string::npos);
  }
}

}  // namespace
}  // namespace halod::cli
