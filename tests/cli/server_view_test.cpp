#include "cli/server_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

#include "cli/json_fields.h"

namespace halod::cli {
namespace {

namespace json = boost::json;
using testing::HasSubstr;

constexpr const char* kAdminModels = R"([
  {"name": "large", "state": "loaded", "active": true, "pinned": true, "requests": 3, "resident_bytes": 3221225472,
   "architecture": "qwen3moe", "quantization": "Q4_K", "size_bytes": 2147483648, "trained_context_length": 262144,
   "context_length": 32768, "weight_bytes": 2147483648, "kv_cache_bytes": 1073741824, "running": 2, "waiting": 1,
   "kv_pages_used": 17, "kv_pages": 4096, "error": null},
  {"name": "small", "state": "failed", "active": false, "pinned": false, "resident_bytes": 0, "size_bytes": 1048576,
   "quantization": "Q8_0", "trained_context_length": 2048, "error": {"code": "io", "message": "no such file"}}])";

ServerView view_of(const char* health) {
  return {
      .url = "http://127.0.0.1:8000",
      .health = json::parse(health),
      .version = json::parse(R"({"name": "halod", "version": "0.2.0", "backend": "cpu", "device": "a CPU"})"),
      .models = json::parse(kAdminModels).as_array(),
      .jobs = {},
      .machine = {},
      .has_admin = true};
}

TEST(TheStatus, IsAFewLinesForPeople) {
  EXPECT_EQ(format_status(
                view_of(R"({"status": "ok", "model": "large", "requests": 3, "tokens_per_second": 41.26})")),
            "server    http://127.0.0.1:8000, halod 0.2.0\n"
            "state     ready\n"
            "model     large (Q4_K, qwen3moe, 32768 tokens of context)\n"
            "backend   cpu (a CPU)\n"
            "requests  3 (2 running, 1 waiting)\n"
            "speed     41.3 tok/s\n"
            "memory    3 GiB in 1 loaded model\n");
}

TEST(TheStatus, ShowsHowFarLoadingIsAndWhichJobsRun) {
  ServerView view =
      view_of(R"({"status": "loading", "reason": "loading large", "percent": 40, "model": null})");
  view.jobs =
      json::parse(R"([{"id": 7, "kind": "swap", "model": "small", "state": "running", "stage": "weights",
    "fraction": 0.5, "bytes_done": 1048576, "bytes_total": 2097152}, {"id": 6, "kind": "load", "state": "done"}])")
          .as_array();
  const std::string text = format_status(view);
  EXPECT_THAT(text, HasSubstr("state     loading: loading large [############                  ]  40%\n"));
  EXPECT_THAT(text, HasSubstr("model     -\n"));
  EXPECT_THAT(
      text,
      HasSubstr("job 7     swap small: weights [###############               ]  50%, 1 MiB of 2 MiB\n"));
  EXPECT_THAT(text, testing::Not(HasSubstr("job 6")));
}

TEST(TheStatus, ShowsTheGpusMemoryAndThePowerProfileWhereThereAreSuch) {
  ServerView view = view_of(R"({"status": "ok", "model": "large", "requests": 0})");
  const std::string gpu = R"("gpu_memory": {"gtt_total_bytes": 128849018880, "gtt_used_bytes": 3221225472,
    "vram_total_bytes": 536870912, "vram_used_bytes": 189267968, "ttm_pages_limit": 31457280})";
  const auto power_line = [&view](const std::string& gpu_memory, const std::string& power) {
    view.machine = json::parse("{" + gpu_memory + R"(, "power": )" + power + "}");
    const std::string text = format_status(view);
    return text.substr(text.find("memory  "));
  };
  EXPECT_EQ(
      power_line(gpu,
                 R"({"hold_profile": "performance", "held": true, "profile": "performance", "problem": ""})"),
      "memory    3 GiB in 1 loaded model\n"
      "GPU       GTT 3 GiB of 120 GiB, VRAM 180.5 MiB of 512 MiB\n"
      "power     performance held\n");
  EXPECT_EQ(
      power_line(
          R"("gpu_memory": null)",
          R"({"hold_profile": "performance", "held": false, "profile": "", "problem": "no such daemon"})"),
      "memory    3 GiB in 1 loaded model\n"
      "power     performance not held: no such daemon\n");
  EXPECT_EQ(power_line(R"("gpu_memory": null)",
                       R"({"hold_profile": "performance", "held": false, "profile": "", "problem": ""})"),
            "memory    3 GiB in 1 loaded model\n"
            "power     performance held while there is work\n");
  EXPECT_EQ(power_line(R"("gpu_memory": null)",
                       R"({"hold_profile": "off", "held": false, "profile": "", "problem": ""})"),
            "memory    3 GiB in 1 loaded model\n");
  EXPECT_THAT(format_top(view), testing::Not(HasSubstr("GTT")));
  view.machine = json::parse("{" + gpu + "}");
  EXPECT_THAT(format_top(view),
              HasSubstr("memory 3 GiB\nGTT 3 GiB of 120 GiB, VRAM 180.5 MiB of 512 MiB\n\nMODEL"));
}

TEST(TheTuning, IsATableOfKernels) {
  EXPECT_EQ(
      format_tuning(json::parse(R"({"backend": "cpu", "device": "a CPU", "state": "untuned", "selections": [
              {"operation": "matmul", "format": "Q8_0", "variant": "avx2_tiles16", "tuning": "untuned"},
              {"operation": "rope", "format": "", "variant": "avx2", "tuning": ""}]})")),
      "backend   cpu (a CPU)\n"
      "state     untuned\n"
      "OPERATION  FORMAT  VARIANT       TUNING\n"
      "matmul     Q8_0    avx2_tiles16  untuned\n"
      "rope       -       avx2          -\n");
  EXPECT_EQ(format_tuning(json::parse(R"({"backend": "", "device": "", "selections": []})")),
            "no model is loaded\n");
}

TEST(TheModels, AreATableWithTheContextThatRequestsGet) {
  EXPECT_EQ(format_models(json::parse(kAdminModels).as_array(), true),
            "NAME   STATE   QUANT  SIZE   CONTEXT  MEMORY  NOTES\n"
            "large  loaded  Q4_K   2 GiB  32768    3 GiB   active, pinned\n"
            "small  failed  Q8_0   1 MiB  2048     -       no such file\n");
}

TEST(TheModels, AreAShorterTableWithoutTheAdministratorsKey) {
  const auto models = json::parse(R"([{"id": "a", "state": "loaded", "max_model_len": 2048}, {"id": "b"}])");
  EXPECT_EQ(format_models(models.as_array(), false),
            "NAME  STATE   ARCHITECTURE  CONTEXT\n"
            "a     loaded  -             2048\n"
            "b     -       -             -\n");
}

TEST(TheJobs, SayWhatBecameOfThem) {
  const auto jobs =
      json::parse(R"([{"id": 1, "kind": "rescan", "state": "done", "stage": "ready", "fraction": 1,
    "seconds": 0.25, "requester": "http", "error": null}, {"id": 2, "kind": "load", "model": "b", "state": "failed",
    "stage": "weights", "fraction": 0.125, "seconds": 75, "requester": "halod", "error": {"message": "too large"}}])");
  EXPECT_EQ(format_jobs(jobs.as_array()),
            "ID  KIND    MODEL  STATE   STAGE    DONE  TIME        BY     ERROR\n"
            "1   rescan  -      done    ready    100%  0.2 s       http\n"
            "2   load    b      failed  weights  12%   1 min 15 s  halod  too large\n");
  EXPECT_EQ(format_jobs({}), "no jobs\n");
}

TEST(Top, ShowsLoadedModelsOnly) {
  const std::string text =
      format_top(view_of(R"({"status": "ok", "model": "large", "requests": 3, "tokens_per_second": 41.26})"));
  EXPECT_THAT(text, HasSubstr("41.3 tok/s  requests 3 (2 running, 1 waiting)  memory 3 GiB"));
  EXPECT_THAT(text, HasSubstr("large *  loaded  2        1        17/4096   1 GiB  2 GiB    3 GiB\n"));
  EXPECT_THAT(text, testing::Not(HasSubstr("small")));
}

TEST(TheProgressOfAJob, HasNoBarBeforeThereAreBytes) {
  EXPECT_EQ(format_job_progress(json::parse(R"({"kind": "rescan", "stage": "queued", "bytes_total": 0})")),
            "rescan: queued");
}

TEST(JsonFields, OfAnotherKindAreEmpty) {
  const json::value value = json::parse(R"({"a": "text", "b": -1, "c": null, "d": [1], "e": 2.5})");
  EXPECT_EQ(number_of(value, "a"), 0);
  EXPECT_EQ(count_of(value, "b"), 0U);
  EXPECT_EQ(count_of(value, "e"), 0U);
  EXPECT_EQ(text_of(value, "c"), "");
  EXPECT_EQ(text_of(value, "d"), "[1]");
  EXPECT_TRUE(items_of(value, "a").empty());
  EXPECT_EQ(find_member(json::value("no object"), "a"), nullptr);
  EXPECT_TRUE(parse_or_null("{").is_null());
}

}  // namespace
}  // namespace halod::cli
