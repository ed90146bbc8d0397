#include "daemon/control/request_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace halod {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr ModelId kModel{1};
constexpr ModelId kOther{2};

void add(RequestTable& table, uint64_t request_id, ModelId model = kModel) {
  LiveRequest request;
  request.model = model;
  request.request.request_id = request_id;
  request.request.max_tokens = 100;
  table.add(std::move(request));
}

std::vector<uint64_t> submit(RequestTable& table) {
  std::vector<uint64_t> ids;
  for (const LiveRequest* request : table.submittable([](ModelId) { return true; }))
    ids.push_back(request->request.request_id);
  return ids;
}

std::vector<uint64_t> submit_of(RequestTable& table, ModelId only) {
  std::vector<uint64_t> ids;
  for (const LiveRequest* request : table.submittable([only](ModelId model) { return model == only; }))
    ids.push_back(request->request.request_id);
  return ids;
}

std::vector<uint64_t> die(RequestTable& table, size_t max_sequences = 8, bool innocent = false) {
  std::vector<uint64_t> ids;
  const auto limit = [max_sequences](ModelId) { return max_sequences; };
  for (const LiveRequest& request : table.engine_died(limit, innocent))
    ids.push_back(request.request.request_id);
  return ids;
}

void give_token(RequestTable& table, uint64_t request_id, int32_t token_id = 7) {
  RequestTable::record_token(*table.find(request_id), token_id);
}

TEST(ARequestTable, SubmitsEachRequestOnceAndInOrder) {
  RequestTable table(3);
  add(table, 2);
  add(table, 1);
  EXPECT_THAT(submit(table), ElementsAre(1, 2));
  EXPECT_THAT(submit(table), IsEmpty());
}

TEST(ARequestTable, ResubmitsWithTheTokensAlreadyDelivered) {
  RequestTable table(3);
  add(table, 1);
  submit(table);
  give_token(table, 1, 5);
  give_token(table, 1, 6);
  EXPECT_THAT(die(table), IsEmpty());
  const auto again = table.submittable([](ModelId) { return true; });
  ASSERT_EQ(again.size(), 1U);
  EXPECT_THAT(again[0]->request.generated, ElementsAre(5, 6));
}

TEST(ARequestTable, FailsARequestThatWasRunningAtThreeDeathsInARow) {
  RequestTable table(3);
  add(table, 1);
  for (int death = 1; death <= 2; ++death) {
    EXPECT_THAT(submit(table), ElementsAre(1));
    EXPECT_THAT(die(table), IsEmpty());
  }
  submit(table);
  EXPECT_THAT(die(table), ElementsAre(1));
  EXPECT_TRUE(table.empty());
}

TEST(ARequestTable, CountsDeathsAfreshWhenTheRequestMovedOnBetweenThem) {
  RequestTable table(3);
  add(table, 1);
  for (int death = 1; death <= 10; ++death) {
    EXPECT_THAT(submit(table), ElementsAre(1));
    give_token(table, 1);
    EXPECT_THAT(die(table), IsEmpty()) << "death " << death;
  }
}

TEST(ARequestTable, SparesRequestsThatWereOnlyWaiting) {
  RequestTable table(1);
  add(table, 1);
  add(table, 2);
  add(table, 3);
  submit(table);
  EXPECT_THAT(die(table, 1), ElementsAre(1));
  EXPECT_THAT(submit(table), ElementsAre(2, 3));
}

TEST(ARequestTable, LetsSuspectsInOneAtATimeSoThatOnlyTheGuiltyOneIsFailed) {
  RequestTable table(3);
  for (uint64_t request_id = 1; request_id <= 3; ++request_id) add(table, request_id);
  submit(table);
  die(table);
  submit(table);
  die(table);  // 1, 2 and 3 were running at two deaths each
  add(table, 4);
  EXPECT_THAT(submit(table), ElementsAre(1, 4)) << "a request that is no suspect may go along";
  give_token(table, 1);
  EXPECT_THAT(submit(table), ElementsAre(2)) << "1 is cleared, so the next suspect goes";
  EXPECT_THAT(die(table), ElementsAre(2));
  EXPECT_THAT(submit(table), ElementsAre(1, 3, 4));
}

TEST(ARequestTable, FreesTheNextSuspectWhenOneIsErased) {
  RequestTable table(2);
  add(table, 1);
  add(table, 2);
  submit(table);
  die(table);
  EXPECT_THAT(submit(table), ElementsAre(1));
  table.erase(1);
  EXPECT_THAT(submit(table), ElementsAre(2));
}

TEST(ARequestTable, BlamesNobodyForADeathFromOutside) {
  RequestTable table(2);
  add(table, 1);
  for (int death = 1; death <= 10; ++death) {
    EXPECT_THAT(submit(table), ElementsAre(1));
    EXPECT_THAT(die(table, 8, true), IsEmpty()) << "death " << death;
  }
}

TEST(ARequestTable, KeepsModelsApart) {
  RequestTable table(3);
  add(table, 1, kModel);
  add(table, 2, kOther);
  EXPECT_THAT(submit_of(table, kOther), ElementsAre(2));
  EXPECT_EQ(table.n_in_engine(kOther), 1U);
  EXPECT_EQ(table.n_in_engine(kModel), 0U);
  EXPECT_EQ(table.n_unfinished(kModel), 1U);
  table.model_unloaded(kOther);
  EXPECT_THAT(submit(table), ElementsAre(1, 2));
  EXPECT_EQ(table.take_all(kOther).size(), 1U);
  EXPECT_EQ(table.size(), 1U);
}

TEST(ARequestTable, CountsTheRunningOnesOfEachModelByItself) {
  RequestTable table(1);
  for (uint64_t id = 1; id <= 4; ++id) add(table, id, id % 2 == 0 ? kModel : kOther);
  submit(table);
  EXPECT_THAT(die(table, 1), ElementsAre(1, 2)) << "one of each model was running";
}

}  // namespace
}  // namespace halod
