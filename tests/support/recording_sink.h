// A GenerationSink that remembers everything and fails the test when the contract is broken.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "runtime/engine/request.h"

namespace halod::testing_support {

class RecordingSink : public GenerationSink {
 public:
  void on_token(const GeneratedToken& token) override {
    EXPECT_FALSE(finished.contains(token.request_id))
        << "a token after the end of request " << token.request_id;
    auto& answer = answers[token.request_id];
    if (answer.empty()) first_idx[token.request_id] = token.answer_idx;
    EXPECT_EQ(token.answer_idx, first_idx[token.request_id] + answer.size())
        << "request " << token.request_id;
    answer.push_back(token.token_id);
    tokens.push_back(token);
  }
  void on_finished(const RequestFinished& end) override {
    EXPECT_TRUE(finished.emplace(end.request_id, end).second)
        << "request " << end.request_id << " finished twice";
  }

  std::map<uint64_t, std::vector<int32_t>> answers;
  std::map<uint64_t, uint32_t> first_idx;
  std::map<uint64_t, RequestFinished> finished;
  std::vector<GeneratedToken> tokens;
};

}  // namespace halod::testing_support
