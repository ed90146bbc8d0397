#include "cli/api_client.h"

#include <gtest/gtest.h>

#include <vector>

namespace halod::cli {
namespace {

TEST(AServersUrl, IsHttpWithAHostAndPerhapsAPort) {
  EXPECT_EQ(parse_server_url("http://127.0.0.1:8000")->port, "8000");
  EXPECT_EQ(parse_server_url("http://[::1]:8000/v1")->host, "::1");
  EXPECT_EQ(parse_server_url("http://strix.example")->port, "80");
  for (const char* wrong : {"", "127.0.0.1:8000", "https://127.0.0.1", "http://", "http:///x"}) {
    const auto address = parse_server_url(wrong);
    ASSERT_FALSE(address) << wrong;
    EXPECT_EQ(address.error().code, ErrorCode::kInvalidArgument);
  }
  // Either that host or none, but never 127.0.0.1.
  const auto host = parse_server_url("http://127.0.0.1.example:8000");
  EXPECT_TRUE(!host || host->host == "127.0.0.1.example");
}

TEST(AnApiClient, SaysThatNobodyAnswers) {
  const auto reply = ApiClient({.url = "http://127.0.0.1:9", .api_key = ""}).get("/health");
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(reply.error().message.find("Is halod running?"), std::string::npos);
}

TEST(AnEventSplitter, FindsEventsHoweverTheirBytesArrive) {
  const std::string stream = "data: {\"a\":1}\n\n: a remark\n\ndata: two\n\ndata: [DONE]\n\n";
  for (size_t step = 1; step <= stream.size(); ++step) {
    EventSplitter splitter;
    std::vector<std::string> events;
    for (size_t at = 0; at < stream.size(); at += step)
      splitter.push(stream.substr(at, step),
                    [&events](std::string_view event) { events.emplace_back(event); });
    EXPECT_EQ(events, (std::vector<std::string>{"{\"a\":1}", "two"})) << step;
  }
}

}  // namespace
}  // namespace halod::cli
