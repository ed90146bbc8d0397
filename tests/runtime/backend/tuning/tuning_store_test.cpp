#include "runtime/backend/tuning/tuning_store.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

#include "tests/support/temporary_folder.h"

namespace halod {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

const Validators kOurs = {{"CPU_MODEL", "A"}, {"KERNEL_HASH", "1"}};

TuningKey key(int i) { return {"Matmul_Q8_0", "p" + std::to_string(i)}; }

std::string text_of(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

class ATuningStore : public testing::Test {
 protected:
  ATuningStore() {
    auto sink = std::make_shared<spdlog::sinks::ostream_sink_mt>(log_);
    before_ = spdlog::default_logger();
    spdlog::set_default_logger(std::make_shared<spdlog::logger>("test", sink));
  }
  ~ATuningStore() override { spdlog::set_default_logger(before_); }
  int n_warnings() const {
    int n = 0;
    const std::string text = log_.str();
    for (size_t at = text.find("[warning]"); at != std::string::npos; at = text.find("[warning]", at + 1))
      ++n;
    return n;
  }

  TemporaryFolder folder_;
  const fs::path file_ = folder_.path() / "halod/tuning-cpu.csv";
  std::ostringstream log_;
  std::shared_ptr<spdlog::logger> before_;
};

TEST_F(ATuningStore, HasNothingWithoutAFile) {
  TuningStore store(file_, kOurs);
  EXPECT_TRUE(store.read().empty());
  EXPECT_EQ(n_warnings(), 0) << log_.str();
}

TEST_F(ATuningStore, MakesItsFolderAndReadsWhatItWrote) {
  const TuningResults results = {{key(1), {"a", 1}}, {key(2), {"b", 2}}};
  ASSERT_TRUE(TuningStore(file_, kOurs).merge(results));
  EXPECT_EQ(TuningStore(file_, kOurs).read(), results);
  EXPECT_FALSE(fs::exists(file_.string() + ".tmp"));
  EXPECT_EQ(fs::status(file_).permissions() & fs::perms::all, fs::perms(0644));
}

TEST_F(ATuningStore, AddsToWhatOthersWrote) {
  TuningStore ours(file_, kOurs), theirs(file_, kOurs);
  ASSERT_TRUE(ours.merge({{key(1), {"ours", 1}}}));
  ASSERT_TRUE(theirs.merge({{key(1), {"theirs", 2}}, {key(2), {"theirs", 2}}}));
  EXPECT_TRUE(ours.has_changed());
  EXPECT_FALSE(theirs.has_changed());
  EXPECT_EQ(ours.read(), (TuningResults{{key(1), {"theirs", 2}}, {key(2), {"theirs", 2}}}));
  EXPECT_FALSE(ours.has_changed());
}

TEST_F(ATuningStore, KeepsAFileOfAnotherMachineAside) {
  ASSERT_TRUE(TuningStore(file_, {{"CPU_MODEL", "B"}, {"KERNEL_HASH", "1"}}).merge({{key(1), {"a", 1}}}));
  const std::string theirs = text_of(file_);
  TuningStore store(file_, kOurs);
  EXPECT_TRUE(store.read().empty());
  EXPECT_THAT(log_.str(), HasSubstr("CPU_MODEL is 'B' there and 'A' here"));
  EXPECT_EQ(n_warnings(), 1) << log_.str();
  EXPECT_FALSE(fs::exists(file_));
  EXPECT_EQ(text_of(file_.string() + ".aside"), theirs);
  ASSERT_TRUE(store.merge({{key(2), {"b", 1}}}));
  EXPECT_EQ(TuningStore(file_, kOurs).read().size(), 1U);
  EXPECT_EQ(text_of(file_.string() + ".aside"), theirs);
}

TEST_F(ATuningStore, KeepsSeveralAside) {
  for (const char* model : {"B", "C"}) {
    ASSERT_TRUE(TuningStore(file_, {{"CPU_MODEL", model}}).merge({{key(1), {model, 1}}}));
    EXPECT_TRUE(TuningStore(file_, kOurs).read().empty());
  }
  EXPECT_THAT(text_of(file_.string() + ".aside"), HasSubstr("CPU_MODEL,B"));
  EXPECT_THAT(text_of(file_.string() + ".aside-2"), HasSubstr("CPU_MODEL,C"));
}

TEST_F(ATuningStore, SkipsDamagedLinesWithOneWarning) {
  ASSERT_TRUE(TuningStore(file_, kOurs).merge({{key(1), {"a", 1}}, {key(2), {"b", 2}}}));
  std::ofstream(file_, std::ios::app) << "rubbish\nmore,rubbish\nMatmul_Q8_0,p3,c,0.0";
  TuningStore store(file_, kOurs);
  EXPECT_EQ(store.read().size(), 2U);
  EXPECT_EQ(store.read().size(), 2U);
  EXPECT_EQ(n_warnings(), 1) << log_.str();
  EXPECT_THAT(log_.str(), HasSubstr("3 damaged lines are skipped, the first is line 5"));
}

TEST_F(ATuningStore, TakesNoHarmFromWhatElseMayBeThere) {
  fs::create_directories(file_.parent_path());
  const auto expect_nothing_and_one_warning = [this](const char* what) {
    log_.str("");
    EXPECT_TRUE(TuningStore(file_, kOurs).read().empty()) << what;
    EXPECT_EQ(n_warnings(), 1) << what << ": " << log_.str();
    fs::remove_all(file_);
  };
  fs::create_directory(file_);
  expect_nothing_and_one_warning("a folder");
  ASSERT_EQ(::mkfifo(file_.c_str(), 0600), 0);
  expect_nothing_and_one_warning("a FIFO");
  std::ofstream(file_) << std::string(100, '\0');
  expect_nothing_and_one_warning("zeros");
  std::ofstream{file_};
  expect_nothing_and_one_warning("nothing");
  std::ofstream{file_};
  fs::resize_file(file_, uint64_t{1} << 40);
  expect_nothing_and_one_warning("a terabyte");
  fs::create_symlink("/dev/zero", file_);
  expect_nothing_and_one_warning("a device");
}

TEST_F(ATuningStore, SaysWhyItCannotWrite) {
  std::ofstream(folder_.path() / "halod") << "a file where the folder should be";
  const auto merged = TuningStore(file_, kOurs).merge({{key(1), {"a", 1}}});
  ASSERT_FALSE(merged);
  EXPECT_EQ(merged.error().code, ErrorCode::kIo);
  EXPECT_THAT(merged.error().message, HasSubstr(file_.string()));
}

TEST_F(ATuningStore, ReplacesATemporaryFileThatAKilledWriterLeft) {
  fs::create_directories(file_.parent_path());
  fs::create_symlink(folder_.path() / "elsewhere", file_.string() + ".tmp");
  ASSERT_TRUE(TuningStore(file_, kOurs).merge({{key(1), {"a", 1}}}));
  EXPECT_FALSE(fs::exists(folder_.path() / "elsewhere"));
}

TEST_F(ATuningStore, GivesUpOnALockThatIsHeldForLong) {
  fs::create_directories(file_.parent_path());
  const int fd = ::open((file_.string() + ".lock").c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_EQ(::flock(fd, LOCK_EX), 0);
  const auto merged = TuningStore(file_, kOurs).merge({{key(1), {"a", 1}}});
  ::close(fd);
  ASSERT_FALSE(merged);
  EXPECT_EQ(merged.error().code, ErrorCode::kUnavailable);
  EXPECT_FALSE(fs::exists(file_));
}

TEST_F(ATuningStore, LosesNothingWhenSeveralWriteAtOnce) {
  constexpr int kWriters = 4, kEach = 10;
  std::vector<std::thread> writers;
  for (int w = 0; w < kWriters; ++w) {
    writers.emplace_back([this, w] {
      TuningStore store(file_, kOurs);
      for (int i = 0; i < kEach; ++i) EXPECT_TRUE(store.merge({{key(100 * w + i), {"a", 1}}}));
    });
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(TuningStore(file_, kOurs).read().size(), size_t{kWriters * kEach});
  EXPECT_EQ(n_warnings(), 0) << log_.str();
}

TEST_F(ATuningStore, ImportsWhatAMachineLikeThisOneExported) {
  const fs::path exported = folder_.path() / "exported.csv";
  const TuningResults results = {{key(1), {"a", 1}}};
  ASSERT_TRUE(write_tuning(exported, kOurs, results));
  EXPECT_EQ(import_tuning(exported, kOurs).value(), results);
  const auto refused = import_tuning(exported, {{"CPU_MODEL", "A"}, {"KERNEL_HASH", "2"}});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("KERNEL_HASH is '1' there and '2' here"));
  EXPECT_TRUE(fs::exists(exported));
  std::ofstream(exported, std::ios::app) << "rubbish\n";
  EXPECT_THAT(import_tuning(exported, kOurs).error().message, HasSubstr("line 4"));
  EXPECT_EQ(import_tuning(folder_.path() / "none", kOurs).error().code, ErrorCode::kNotFound);
}

TEST(TheTuningDirectory, IsTheServicesOrTheUsers) {
  const auto with = [](const char* name, const char* value) {
    value ? setenv(name, value, 1) : unsetenv(name);
  };
  with("CACHE_DIRECTORY", "/var/cache/halod:/var/cache/other");
  EXPECT_EQ(tuning_directory(), "/var/cache/halod");
  with("CACHE_DIRECTORY", nullptr);
  with("XDG_CACHE_HOME", "/x");
  EXPECT_EQ(tuning_directory(), "/x/halod");
  with("XDG_CACHE_HOME", nullptr);
  with("HOME", "/home/u");
  EXPECT_EQ(tuning_directory(), "/home/u/.cache/halod");
  with("HOME", nullptr);
  EXPECT_EQ(tuning_directory(), "");
  EXPECT_EQ(tuning_file_in("", "cpu"), "");
  EXPECT_EQ(tuning_file_in("/x", "cpu"), "/x/tuning-cpu.csv");
}

TEST(TheCpusValidators, NameWhatResultsDependOn) {
  const Validators validators = cpu_validators();
  ASSERT_EQ(validators.size(), 4U);
  EXPECT_EQ(validators[3].name, "KERNEL_HASH");
  EXPECT_EQ(validators[3].value.size(), 16U);
  EXPECT_EQ(parse_tuning(format_tuning(validators, {})).validators, validators);
}

}  // namespace
}  // namespace halod
