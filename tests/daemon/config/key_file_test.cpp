#include "daemon/config/key_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/support/temporary_folder.h"

namespace halod {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::string refusal_of(std::string_view text) {
  const auto keys = parse_keys(text, "keys");
  return keys ? "no error" : keys.error().message;
}

TEST(AKeyFile, HasAKeyALine) {
  const auto keys = parse_keys("first\n  second\t\n\nthird\r\nlast", "keys");
  ASSERT_TRUE(keys) << keys.error().message;
  EXPECT_THAT(*keys, ElementsAre("first", "second", "third", "last"));
}

TEST(AKeyFile, HasComments) {
  const auto keys = parse_keys("# alice's\nsk-1 # until May\n   # bob's\nsk#2\n", "keys");
  ASSERT_TRUE(keys) << keys.error().message;
  EXPECT_THAT(*keys, ElementsAre("sk-1", "sk#2"));
}

TEST(AKeyFile, NamesFileLineAndByteOfWhatIsNoKeyAndDoesNotShowIt) {
  EXPECT_THAT(refusal_of("ok\n\nsecret word\n"),
              AllOf(HasSubstr("keys:3: the key has a blank at its byte 7"), Not(HasSubstr("secret"))));
  EXPECT_THAT(refusal_of("schl\xc3\xbcssel\n"), HasSubstr("keys:1: the key has a byte that no HTTP header"));
  EXPECT_THAT(refusal_of(std::string_view("a\0b", 3)), HasSubstr("keys:1: "));
}

TEST(AKeyFile, WithoutAnyKeyIsRefusedBecauseItWouldOpenTheApi) {
  for (const char* text : {"", "\n\n", "# none\n"})
    EXPECT_THAT(refusal_of(text), HasSubstr("keys has no key"));
}

class KeyFiles : public ::testing::Test {
 protected:
  void TearDown() override { ::unsetenv("CREDENTIALS_DIRECTORY"); }

  std::string write(const std::string& name, const std::string& text, mode_t mode = 0640) {
    const std::string path = folder_ / name;
    std::ofstream(path) << text;
    ::chmod(path.c_str(), mode);
    return path;
  }
  std::string error() {
    const auto read = read_key_files(config_, UnreadCredential::kIsAnError);
    return read ? "no error" : read.error().message;
  }

  TemporaryFolder temporary_;
  const std::filesystem::path& folder_ = temporary_.path();
  Config config_;
};

TEST_F(KeyFiles, AreAddedToTheKeysOfTheConfiguration) {
  config_.http.api_keys = {"written"};
  config_.http.api_keys_file = write("api", "filed\n");
  config_.http.admin_keys_file = write("admin", "boss\n");
  ASSERT_TRUE(read_key_files(config_, UnreadCredential::kIsAnError));
  EXPECT_THAT(config_.http.api_keys, ElementsAre("written", "filed"));
  EXPECT_THAT(config_.http.admin_keys, ElementsAre("boss"));
  EXPECT_THAT(config_.warnings, IsEmpty());
}

TEST_F(KeyFiles, ThatEverybodyCanReadAreWarnedOf) {
  config_.http.api_keys_file = write("api", "filed\n", 0644);
  ASSERT_TRUE(read_key_files(config_, UnreadCredential::kIsAnError));
  EXPECT_THAT(config_.warnings,
              ElementsAre(AllOf(HasSubstr("http.api_keys_file: every user of this machine can read"),
                                HasSubstr("(mode 0644): chmod o= "))));
  EXPECT_THAT(config_.http.api_keys, ElementsAre("filed"));
}

TEST_F(KeyFiles, AreFoundAmongTheCredentialsOfTheService) {
  write("keys", "filed\n", 0400);
  config_.http.api_keys_file = "$CREDENTIALS_DIRECTORY/keys";
  EXPECT_THAT(error(), AllOf(HasSubstr("http.api_keys_file is $CREDENTIALS_DIRECTORY/keys"),
                             HasSubstr("LoadCredential=")));
  ::setenv("CREDENTIALS_DIRECTORY", folder_.c_str(), 1);
  EXPECT_EQ(error(), "no error");
  EXPECT_THAT(config_.http.api_keys, ElementsAre("filed"));
}

TEST_F(KeyFiles, ThatAreCredentialsAreNotMissedByWhoOnlyChecksTheConfiguration) {
  const auto check = [this] { return read_key_files(config_, UnreadCredential::kIsAWarning); };
  config_.http.api_keys_file = "$CREDENTIALS_DIRECTORY/keys";
  EXPECT_TRUE(check());
  ::setenv("CREDENTIALS_DIRECTORY", folder_.c_str(), 1);
  EXPECT_TRUE(check());
  EXPECT_THAT(config_.warnings,
              ElementsAre(HasSubstr("LoadCredential="), HasSubstr("/keys cannot be read by user")));
  write("keys", "not one\n");
  EXPECT_FALSE(check());
  config_.http.api_keys_file = folder_ / "none";
  EXPECT_FALSE(check());
}

TEST_F(KeyFiles, ThatCannotBeReadAreErrorsWithKeyAndFile) {
  config_.http.admin_keys_file = folder_ / "none";
  EXPECT_THAT(error(), AllOf(HasSubstr("http.admin_keys_file: "), HasSubstr("/none cannot be read by user"),
                             HasSubstr("No such file")));
  config_.http.admin_keys_file = folder_;
  EXPECT_THAT(error(), HasSubstr("it is no regular file"));
  config_.http.admin_keys_file = folder_ / "pipe";
  ASSERT_EQ(::mkfifo(config_.http.admin_keys_file.c_str(), 0600), 0);
  EXPECT_THAT(error(), HasSubstr("it is no regular file"));
  config_.http.admin_keys_file = write("large", std::string(2 << 20, 'x'));
  EXPECT_THAT(error(), HasSubstr("it has 2097152 bytes, and a file of keys 1048576 at most"));
  config_.http.admin_keys_file = write("wrong", "good\nbad one\n");
  EXPECT_THAT(error(), AllOf(HasSubstr("http.admin_keys_file: "), HasSubstr("/wrong:2: ")));
  EXPECT_THAT(config_.http.admin_keys, IsEmpty());
}

}  // namespace
}  // namespace halod
