#include "cli/bus/bus_control.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>

#include "cli/bus/bus_json.h"

namespace halod::cli {
namespace {

namespace json = boost::json;
using sdbus_compat::make_error;
using testing::AllOf;
using testing::HasSubstr;

Failure failure(const std::string& name, const std::string& message = "a sentence") {
  return failure_of_bus(make_error(name, message), "the system bus");
}

TEST(AFailureOnTheBus, HasTheStatusAndTheSentenceThatHttpGives) {
  EXPECT_EQ(failure("io.halod.Error.NotFound", "there is no model 'x'").message, "there is no model 'x'");
  EXPECT_EQ(failure("io.halod.Error.NotFound").status, kRefused);
  EXPECT_EQ(failure("io.halod.Error.InvalidArgument").status, kRefused);
  // 503 over HTTP.
  EXPECT_EQ(failure("io.halod.Error.OutOfMemory").status, kNotReady);
  EXPECT_EQ(failure("io.halod.Error.Unavailable").status, kNotReady);
}

TEST(AFailureOnTheBus, SaysWhatTheUnprivilegedCanDo) {
  for (const char* name : {"org.freedesktop.DBus.Error.AccessDenied",
                           "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"}) {
    const Failure denied = failure(name, "you may not: polkit denies io.halod.swap");
    EXPECT_EQ(denied.status, kRefused);
    EXPECT_THAT(denied.message,
                AllOf(HasSubstr("polkit denies io.halod.swap"), HasSubstr("sudo"), HasSubstr("halod-admin")));
  }
}

TEST(AFailureOnTheBus, IsAnAbsentServerWhereNobodyAnswers) {
  for (const char* name :
       {"org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NoReply",
        "org.freedesktop.systemd1.NoSuchUnit", "org.freedesktop.DBus.Error.Spawn.ChildExited"}) {
    EXPECT_EQ(failure(name).status, kUnreachable) << name;
    EXPECT_THAT(failure(name).message, AllOf(HasSubstr("the system bus"), HasSubstr("--url"))) << name;
  }
  EXPECT_EQ(failure("com.example.Odd").status, kRefused);
}

TEST(AJobOfTheBus, IsTheJobOfTheHttpRoute) {
  Properties job;
  job["Id"] = sdbus::Variant(uint32_t{7});
  job["Kind"] = sdbus::Variant(std::string("swap"));
  job["State"] = sdbus::Variant(std::string("failed"));
  job["Stage"] = sdbus::Variant(std::string("weights"));
  job["Progress"] = sdbus::Variant(0.5);
  job["BytesDone"] = sdbus::Variant(uint64_t{5});
  job["BytesTotal"] = sdbus::Variant(uint64_t{10});
  job["CreatedUSec"] = sdbus::Variant(uint64_t{1'234'567});
  job["Seconds"] = sdbus::Variant(1.5);
  job["Requester"] = sdbus::Variant(sdbus::Struct<std::string, uint32_t>{":1.7", 0});
  job["ModelName"] = sdbus::Variant(std::string("b"));
  job["Error"] =
      sdbus::Variant(sdbus::Struct<std::string, std::string>{"io.halod.Error.OutOfMemory", "too large"});
  job["ErrorBytes"] = sdbus::Variant(sdbus::Struct<uint64_t, uint64_t>{30, 20});
  EXPECT_EQ(
      json::serialize(job_of_bus(job)),
      R"({"id":7,"kind":"swap","state":"failed","stage":"weights","fraction":5E-1,"bytes_done":5,"bytes_total":10,)"
      R"("created_ms":1234,"seconds":1.5E0,"requester":":1.7","error":{"code":"out_of_memory","message":"too large",)"
      R"("needed_bytes":30,"available_bytes":20},"model":"b"})");
}

TEST(AJobOfTheBus, HasEmptyFieldsWhereAnOlderServerHasNone) {
  const json::object job =
      job_of_bus({{"Id", sdbus::Variant(uint32_t{1})}, {"Seconds", sdbus::Variant(std::string("soon"))}});
  EXPECT_EQ(job.at("id").to_number<int>(), 1);
  EXPECT_EQ(job.at("seconds").to_number<double>(), 0);
  EXPECT_TRUE(job.at("error").is_null());
  EXPECT_FALSE(job.contains("model"));
}

TEST(TheHealthOfTheBus, IsThatOfTheHttpRoute) {
  const Properties stats{{"RequestsUnfinished", sdbus::Variant(uint64_t{3})},
                         {"TokensPerSecond", sdbus::Variant(0.5)}};
  Properties manager{{"State", sdbus::Variant(std::string("ready"))},
                     {"ActiveModel", sdbus::Variant(std::string("a"))}};
  EXPECT_EQ(json::serialize(health_of_bus(manager, stats)),
            R"({"status":"ok","model":"a","requests":3,"tokens_per_second":5E-1})");
  manager["State"] = sdbus::Variant(std::string("loading"));
  manager["StateReason"] = sdbus::Variant(std::string("the model is being loaded: 40 %"));
  manager["LoadPercent"] = sdbus::Variant(uint32_t{40});
  manager["ActiveModel"] = sdbus::Variant(std::string());
  EXPECT_EQ(
      json::serialize(health_of_bus(manager, stats)),
      R"({"status":"loading","reason":"the model is being loaded: 40 %","percent":40,"model":null,"requests":3,)"
      R"("tokens_per_second":5E-1})");
}

}  // namespace
}  // namespace halod::cli
