#include <boost/json/parse.hpp>

#include "tests/daemon/http/http_fixture.h"
#include "tests/support/recorded_machine.h"

namespace halod {
namespace {

using ::testing::HasSubstr;

constexpr const char* kBoss = "Authorization: Bearer boss\r\n";

/// Two models, "test-model" and "other", and one admin key.
class AnAdministrator : public ADaemon {
 protected:
  AnAdministrator() {
    config_.http.admin_keys = {"boss"};
    config_.models.list.push_back({.path = "other.gguf"});
  }
  HttpReply post_as_boss(std::string_view path, std::string_view body) {
    return connect().post(path, body, kBoss);
  }
  HttpReply get_as_boss(std::string_view path) { return connect().get(path, kBoss); }
};

TEST_F(AnAdministrator, FindsNoDoorWhileThereIsNoKeyAndOneWhenAReloadBringsIt) {
  config_.http.admin_keys.clear();
  start_and_wait();
  EXPECT_EQ(get_as_boss("/v1/admin/models").status, 404U);
  thread_.call([this] { config_.http.admin_keys = {"boss"}; });
  EXPECT_EQ(get_as_boss("/v1/admin/models").status, 200U);
  thread_.call([this] { config_.http.admin_keys.clear(); });
  EXPECT_EQ(get_as_boss("/v1/admin/models").status, 404U);
}

TEST_F(AnAdministrator, NeedsTheAdminsKeyAndNotAUsers) {
  config_.http.api_keys = {"sesame"};
  start_and_wait();
  EXPECT_EQ(get("/v1/admin/models").status, 401U);
  EXPECT_EQ(connect().get("/v1/admin/models", "Authorization: Bearer sesame\r\n").status, 401U);
  EXPECT_EQ(get_as_boss("/v1/admin/models").status, 200U);
  EXPECT_EQ(get_as_boss("/v1/models").status, 200U) << "the admin's key opens the other routes too";
}

TEST_F(AnAdministrator, SwapsAndSeesTheJob) {
  start_and_wait();
  const HttpReply swapped = post_as_boss("/v1/admin/models/swap", R"({"model": "other", "wait": true})");
  EXPECT_EQ(swapped.status, 200U) << swapped.body;
  EXPECT_EQ(swapped.json().at("state"), "done");
  const std::string id = std::to_string(swapped.json().at("id").to_number<int>());
  EXPECT_EQ(get_as_boss("/v1/admin/jobs/" + id).json().at("kind"), "swap");
  EXPECT_EQ(get("/v1/models").json().at("data").at(0).at("id"), "other");
  HttpClient client = connect();
  client.send_request("DELETE", "/v1/admin/jobs/" + id, "", kBoss);
  EXPECT_THAT(client.receive().error("message"), HasSubstr("has ended already"));
}

TEST_F(AnAdministrator, CancelsALoadThatWasNotWaitedFor) {
  start_and_wait();
  on_engine([](FakeEngine& engine) { engine.load_by_itself = false; });
  const HttpReply begun = post_as_boss("/v1/admin/models/load", R"({"model": "other"})");
  EXPECT_EQ(begun.status, 202U);
  ASSERT_TRUE(wait_until([this] { return plane_.models->jobs().back().bytes_done == 1; }));
  HttpClient client = connect();
  client.send_request("DELETE", "/v1/admin/jobs/" + std::to_string(begun.json().at("id").to_number<int>()),
                      "", kBoss);
  EXPECT_EQ(client.receive().status, 202U);
  EXPECT_TRUE(wait_until([this] { return plane_.models->jobs().back().state == JobState::kCancelled; }));
}

TEST_F(AnAdministrator, IsToldWhatIsWrong) {
  start_and_wait();
  EXPECT_EQ(post_as_boss("/v1/admin/models/load", "{}").error("param"), "model");
  EXPECT_EQ(post_as_boss("/v1/admin/models/load", R"({"model": "nobody"})").status, 404U);
  EXPECT_THAT(
      post_as_boss("/v1/admin/models/swap", R"({"model": "other", "policy": "shoot"})").error("message"),
      HasSubstr("drain or pause"));
  EXPECT_EQ(get_as_boss("/v1/admin/jobs/999").status, 404U);
  EXPECT_EQ(get_as_boss("/v1/admin/jobs/x").status, 400U);
}

TEST_F(AnAdministrator, ReloadsAndSetsTheLogLevel) {
  start_and_wait();
  EXPECT_EQ(post_as_boss("/v1/admin/reload", "").status, 200U);
  EXPECT_EQ(thread_.call([this] { return service_.n_reloads; }), 1);
  HttpClient client = connect();
  client.send_request("PUT", "/v1/admin/log-level", R"({"level": "debug"})", kBoss);
  EXPECT_EQ(client.receive().json().at("level"), "debug");
}

TEST_F(AnAdministrator, SeesOnlyTheNewestOfManyJobs) {
  start_and_wait();
  for (int i = 0; i < 80; ++i)
    EXPECT_EQ(post_as_boss("/v1/admin/models/rescan", R"({"wait": true})").status, 200U);
  EXPECT_EQ(get_as_boss("/v1/admin/jobs").json().at("jobs").as_array().size(), 64U);
}

TEST_F(AnAdministrator, SeesTheGpusMemoryAndThePowerProfile) {
  const test::RecordedMachine tree(HALOD_SOURCE_DIR "/tests/cli/doctor/machines/strix_halo_128.txt");
  machine_ = MachineStatus(tree.root());
  service_.power_status = {.configured = "performance", .profile = "performance", .problem = ""};
  start_and_wait();
  const auto machine = get_as_boss("/v1/admin/machine").json();
  const auto& gpu = machine.at("gpu_memory");
  EXPECT_EQ(gpu.at("gtt_total_bytes"), 128849018880);
  EXPECT_EQ(gpu.at("gtt_used_bytes"), 28311552);
  EXPECT_EQ(gpu.at("vram_total_bytes"), 536870912);
  EXPECT_EQ(gpu.at("vram_used_bytes"), 189235200);
  EXPECT_EQ(gpu.at("ttm_pages_limit"), 31457280);
  EXPECT_GT(machine.at("memory").at("total_bytes").to_number<uint64_t>(), 0U);
  EXPECT_EQ(machine.at("power"),
            boost::json::parse(
                R"({"hold_profile": "performance", "held": true, "profile": "performance", "problem": ""})"));
}

TEST_F(AnAdministrator, SeesNoGpuWhereThereIsNone) {
  start_and_wait();
  EXPECT_TRUE(get_as_boss("/v1/admin/machine").json().at("gpu_memory").is_null());
}

TEST_F(AnAdministrator, SeesWhichKernelsServeTheLoadedModels) {
  engine_.loaded.selections = {{"rope", "", "avx2"}, {"matmul", "Q8_0", "avx2_tiles16", "untuned"}};
  start_and_wait();
  const auto expected =
      boost::json::parse(R"({"backend": "cpu", "device": "test", "state": "untuned", "selections": [
    {"operation": "matmul", "format": "Q8_0", "variant": "avx2_tiles16", "tuning": "untuned"},
    {"operation": "rope", "format": "", "variant": "avx2", "tuning": ""}]})");
  EXPECT_EQ(get_as_boss("/v1/admin/tuning").json(), expected);
  // A second model adds what it has of its own.
  on_engine([](FakeEngine& engine) {
    engine.loaded.selections = {{"rope", "", "avx2"}, {"matmul", "F16", "rows", "tuned"}};
  });
  EXPECT_EQ(post_as_boss("/v1/admin/models/load", R"({"model": "other", "wait": true})").status, 200U);
  EXPECT_EQ(get_as_boss("/v1/admin/tuning").json().at("selections").as_array().size(), 3U);
  EXPECT_EQ(get_as_boss("/v1/admin/tuning").json().at("state"), "partly tuned");
  for (const char* name : {"test-model", "other"})
    post_as_boss("/v1/admin/models/unload", fmt::format(R"({{"model": "{}", "wait": true}})", name));
  EXPECT_EQ(get_as_boss("/v1/admin/tuning").json(),
            boost::json::parse(R"({"backend": "", "device": "", "state": "", "selections": []})"));
}

}  // namespace
}  // namespace halod
