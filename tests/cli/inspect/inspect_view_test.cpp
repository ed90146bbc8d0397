#include "cli/inspect/inspect_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>

namespace halod::cli {
namespace {

namespace json = boost::json;
using testing::HasSubstr;
using testing::Not;

/// Qwen3-30B-A3B at Q4_K_M on a machine of 32 GB, roughly.
json::value report() {
  return json::parse(
      R"({"path": "/m/a.gguf", "architecture": "qwen3moe", "name": "A", "file_bytes": 2147483648, "tensors": 9,
    "tensor_bytes": 2147483648, "parameters": 30532122624, "active_parameters": 3345000000, "experts": 128,
    "experts_per_token": 8, "context_length": 262144, "weight_bytes_per_token": 268435456,
    "formats": [{"kind": "experts", "format": "Q4_K", "supported": true, "tensors": 3, "bytes": 1610612736,
                 "bytes_per_token": 100663296},
                {"kind": "norms", "format": "F32", "supported": true, "tensors": 6, "bytes": 1048576, "bytes_per_token": 1048576}],
    "tokenizer": {"model": "gpt2", "pre": "qwen2", "vocabulary": 151936, "chat_template": true},
    "runnable": true, "problems": [],
    "memory": {"context_length": 32768, "sequences": 8, "weight_bytes": 2147483648, "kv_cache_bytes": 1073741824,
               "scratch_bytes": 1048576, "needed_bytes": 3222274048, "available_bytes": 6442450944, "kept_free_bytes": 1073741824,
               "usable_bytes": 5368709120, "kv_bytes_per_token": 4096, "fits": true, "longest_context": 65536,
               "longest_single_context": 262144, "served_context_length": 32768, "served_kv_cache_tokens": 262144},
    "speed": {"device": "a CPU", "read_gb_per_s": 50.0, "measured": true,
              "decode": [{"depth": 0, "bytes_per_token": 268435456, "tokens_per_s_at_most": 186.26},
                         {"depth": 32768, "bytes_per_token": 402653184, "tokens_per_s_at_most": 24.18}]}})");
}

TEST(AnInspection, SaysWhatTheModelIsAndWhatItTakes) {
  EXPECT_EQ(
      format_inspection(report()),
      "file          /m/a.gguf, 2 GiB in 9 tensors\n"
      "model         qwen3moe, A\n"
      "parameters    30.5 B, of which a token uses 3.3 B (8 of 128 experts)\n"
      "context       262144 tokens\n"
      "tokenizer     gpt2 (qwen2), 151936 tokens; with a chat template\n"
      "\n"
      "TENSORS  FORMAT  NUMBER  BYTES    PER TOKEN  SHARE\n"
      "experts  Q4_K    3       1.5 GiB  96 MiB      75.0%  ##################\n"
      "norms    F32     6       1 MiB    1 MiB        0.0%  #\n"
      "all              9       2 GiB    256 MiB\n"
      "\n"
      "memory        3 GiB for 8 sequences of 32768 tokens: weights 2 GiB, KV cache 1 GiB (4 KiB a token), "
      "scratch 1 MiB\n"
      "here now      5 GiB may be taken: 6 GiB are available, 1 GiB of them stay free for everything else\n"
      "decode        at most 186 tok/s at the beginning, 24.2 tok/s after 32768 tokens\n"
      "              (50.0 GB/s, measured just now, over the bytes that a token reads; 76 to 90 % of such "
      "bounds were "
      "reached)\n"
      "\n"
      "fits\n");
  EXPECT_EQ(status_of_inspection(report()), kSuccess);
}

TEST(AnInspection, NamesTheContextThatWouldFit) {
  json::value tight = report();
  json::object& memory = tight.at("memory").as_object();
  memory["fits"] = false;
  memory["usable_bytes"] = uint64_t{3} << 30;
  memory["longest_context"] = 16384;
  memory["longest_single_context"] = 131072;
  EXPECT_THAT(format_inspection(tight),
              HasSubstr("does not fit  3 GiB needed, 3 GiB may be taken: 8 sequences of 16384 tokens "
                        "would, or one of 131072\n"));
  EXPECT_EQ(status_of_inspection(tight), kDoesNotFit);
  memory["longest_context"] = 0;
  EXPECT_THAT(format_inspection(tight), HasSubstr(": one sequence of 131072 tokens would\n"));
  memory["longest_single_context"] = 0;
  EXPECT_THAT(format_inspection(tight), HasSubstr("choose a smaller model or quantisation\n"));
}

TEST(AnInspection, SaysWhatHalodMakesOfLittleMemory) {
  json::value shrunk = report();
  json::object& memory = shrunk.at("memory").as_object();
  memory["usable_bytes"] = uint64_t{3000} << 20;
  memory["served_kv_cache_tokens"] = 200000;
  EXPECT_THAT(format_inspection(shrunk),
              HasSubstr("fits          with a context of 32768 and a KV cache of 200000 tokens"));
  EXPECT_EQ(status_of_inspection(shrunk), kSuccess);
}

TEST(AnInspection, SaysWhyAModelCannotRun) {
  json::value unsupported = report();
  json::object& object = unsupported.as_object();
  object["runnable"] = false;
  object["problems"] = json::parse(R"([{"code": "unsupported", "message": "a.gguf: 3 tensors are Q3_K"}])");
  object["formats"].at(0).as_object()["supported"] = false;
  object.erase("memory");
  object.erase("speed");
  const std::string text = format_inspection(unsupported);
  EXPECT_THAT(text, HasSubstr("experts  Q4_K (unsupported)  3 "));
  EXPECT_THAT(text, HasSubstr("cannot run    a.gguf: 3 tensors are Q3_K\n"));
  EXPECT_THAT(text, HasSubstr("no weight was read"));
  EXPECT_THAT(text, Not(HasSubstr("decode")));
  EXPECT_EQ(status_of_inspection(unsupported), kCannotRun);
}

TEST(AnInspectionsStatus, TellsWrongQuestionsFromBrokenFiles) {
  const auto status = [](const char* code) {
    json::value failed = json::parse(R"({"path": "a", "error": {"message": "m"}})");
    failed.at("error").as_object()["code"] = code;
    return status_of_inspection(failed);
  };
  EXPECT_EQ(status("not_found"), kUsage);
  EXPECT_EQ(status("invalid_argument"), kUsage);
  EXPECT_EQ(status("corrupt_file"), kCannotRun);
  EXPECT_EQ(status("io"), kCannotRun);
}

TEST(Counts, ArePowersOf1000) {
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(12345), "12.3 K");
  EXPECT_EQ(format_count(999'960'000), "1.0 B");
  EXPECT_EQ(format_count(30'532'122'624), "30.5 B");
}

}  // namespace
}  // namespace halod::cli
