#include "daemon/http/router.h"

#include <gtest/gtest.h>

namespace halod {
namespace {

using boost::beast::http::status;
using boost::beast::http::verb;

class ARouter : public ::testing::Test {
 protected:
  ARouter() {
    router_.add({.method = verb::get, .path = "/a"});
    router_.add({.method = verb::post, .path = "/a"});
    router_.add({.method = verb::post, .path = "/b"});
  }
  std::string allow(const Response& response) {
    for (const auto& [name, value] : response.headers) {
      if (name == "Allow") return value;
    }
    return "";
  }
  Router router_;
};

TEST_F(ARouter, FindsByMethodAndExactPath) {
  EXPECT_EQ(router_.find(verb::get, "/a")->method, verb::get);
  EXPECT_EQ(router_.find(verb::head, "/a")->method, verb::get);
  EXPECT_EQ(router_.find(verb::post, "/a")->method, verb::post);
  EXPECT_EQ(router_.find(verb::get, "/a/"), nullptr);
  EXPECT_EQ(router_.find(verb::get, "/b"), nullptr);
}

TEST_F(ARouter, TellsUnknownPathsFromUnknownMethods) {
  EXPECT_EQ(router_.refusal(verb::get, "/c").status, status::not_found);
  const Response response = router_.refusal(verb::delete_, "/a");
  EXPECT_EQ(response.status, status::method_not_allowed);
  EXPECT_EQ(allow(response), "GET, HEAD, POST, OPTIONS");
}

TEST_F(ARouter, AnswersOptionsWithWhatIsAllowed) {
  const Response response = router_.refusal(verb::options, "/b");
  EXPECT_EQ(response.status, status::no_content);
  EXPECT_EQ(allow(response), "POST, OPTIONS");
}

}  // namespace
}  // namespace halod
