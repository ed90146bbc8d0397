#include "cli/choose_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "cli/command_line.h"
#include "tests/support/temporary_folder.h"

namespace halod::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;

/// On a machine without a system bus, whatever this one has.
class ChoosingAServer : public testing::Test {
 protected:
  ChoosingAServer() {
    ::setenv("DBUS_SYSTEM_BUS_ADDRESS", ("unix:path=" + (folder_.path() / "bus").string()).c_str(), 1);
  }
  ~ChoosingAServer() override { ::unsetenv("DBUS_SYSTEM_BUS_ADDRESS"); }
  Reply<std::unique_ptr<ControlClient>> choose(const ServerChoice& choice) {
    return choose_server(choice, Purpose::kChange, key_file_);
  }

  TemporaryFolder folder_;
  std::filesystem::path key_file_ = folder_.path() / "admin.key";
};

TEST_F(ChoosingAServer, TakesHttpWhereAUrlOrAKeyIsGiven) {
  EXPECT_EQ((*choose({.url = "http://strix.example:1"}))->url(), "http://strix.example:1");
  // Without a word of the bus when it then fails.
  const auto health = (*choose({.url = "http://127.0.0.1:9"}))->health();
  ASSERT_FALSE(health);
  EXPECT_EQ(health.error().status, kUnreachable);
  EXPECT_THAT(health.error().message, testing::Not(HasSubstr("system bus")));
  EXPECT_EQ((*choose({.api_key = "k"}))->url(), kDefaultUrl);
  folder_.write_file("admin.key", "secret\n");
  EXPECT_EQ(http_server({}, key_file_).api_key, "secret");
  EXPECT_EQ(http_server({.url = "http://strix.example"}, key_file_).api_key, "");
}

TEST_F(ChoosingAServer, NamesBothWaysWhereNeitherLeadsAnywhere) {
  const auto client = choose({});
  ASSERT_TRUE(client);
  EXPECT_EQ((*client)->url(), kDefaultUrl);
  const auto version = (*client)->version();
  if (version) GTEST_SKIP() << "something answers at " << kDefaultUrl;
  EXPECT_EQ(version.error().status, kUnreachable);
  EXPECT_THAT(version.error().message, AllOf(HasSubstr(kDefaultUrl), HasSubstr("io.halod.Halod1"),
                                             HasSubstr("the system bus"), HasSubstr("--bus")));
}

TEST_F(ChoosingAServer, TakesTheBusThatIsNamedOrNothing) {
  for (const std::string& bus : {std::string("system"), "unix:path=" + (folder_.path() / "other").string()}) {
    const auto client = choose({.url = "http://127.0.0.1:9", .bus = bus});
    ASSERT_FALSE(client) << bus;
    EXPECT_EQ(client.error().status, kUnreachable);
    EXPECT_THAT(client.error().message, AllOf(HasSubstr("no io.halod.Halod1 on the"), HasSubstr("--url")));
  }
}

/// What the options say; the environment says nothing.
CommandLine parse(std::vector<std::string> words) {
  ::unsetenv("HALOD_URL");
  ::unsetenv("HALOD_API_KEY");
  CLI::App app{"haloctl: test", "haloctl"};
  CommandLine line;
  declare_commands(app, line);
  std::ranges::reverse(words);
  app.parse(words);
  line.command = nullptr;  // refers to a line that is gone
  return line;
}

TEST(TheCommandLine, KnowsWhatWasGivenFromWhatIsTheDefault) {
  EXPECT_EQ(parse({"status"}).server.url, "");
  const CommandLine line = parse({"status", "--url", "http://a:1", "--bus", "session", "--api-key", "k"});
  EXPECT_EQ(line.server.url, "http://a:1");
  EXPECT_EQ(line.server.bus, "session");
  EXPECT_EQ(line.server.api_key, "k");
}

TEST(TheCommandLine, TakesTheNumbersOfAnInspection) {
  const InspectFlags flags =
      parse({"inspect", "a.gguf", "--context", "4096", "--sequences", "3", "--bandwidth", "120.5"}).inspect;
  EXPECT_EQ(flags.path, "a.gguf");
  EXPECT_EQ(flags.context_length, 4096U);
  EXPECT_EQ(flags.n_sequences, 3U);
  EXPECT_EQ(flags.read_gb_per_s, 120.5);
  EXPECT_THROW(parse({"inspect"}), CLI::ParseError);
  EXPECT_THROW(parse({"inspect", "a.gguf", "--context", "1"}), CLI::ParseError);
  EXPECT_THROW(parse({"inspect", "a.gguf", "--bandwidth", "0"}), CLI::ParseError);
}

}  // namespace
}  // namespace halod::cli
