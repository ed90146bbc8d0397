// Public chat templates over many contexts, against what Jinja2 renders.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "runtime/text/chat_template.h"

namespace halod {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

std::string read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(EveryPublicTemplate, RendersEveryContextExactly) {
  const fs::path folder = fs::path(HALOD_CONFORMANCE_DIR) / "templates";
  if (!fs::exists(folder)) GTEST_SKIP() << "no conformance kit at " << folder;
  std::tm now{};
  now.tm_year = 2025 - 1900;
  now.tm_mon = 11;
  now.tm_mday = 24;
  now.tm_hour = 13;
  now.tm_min = 5;
  now.tm_sec = 9;
  size_t n_renders = 0;
  const json::value cases = json::parse(read_text(folder / "renders.json"));
  for (const json::value& item : cases.at("renders").as_array()) {
    const std::string name = item.at("template").as_string().c_str();
    SCOPED_TRACE(name + ": " + item.at("case").as_string().c_str());
    const ChatTemplate chat_template = ChatTemplate::compile(read_text(folder / name)).value();
    const Result<std::string> text = chat_template.render(item.at("context").as_object(), now);
    const json::object& fields = item.as_object();
    if (fields.contains("expected")) {
      ASSERT_TRUE(text) << text.error().message;
      EXPECT_EQ(*text, std::string_view(fields.at("expected").as_string()));
    } else if (fields.at("error").at("from_template").as_bool()) {
      ASSERT_FALSE(text);
      EXPECT_EQ(text.error().code, ErrorCode::kInvalidArgument);
      EXPECT_EQ(text.error().message, std::string_view(fields.at("error").at("message").as_string()));
    }
    ++n_renders;
  }
  EXPECT_GE(n_renders, 70U);
}

}  // namespace
}  // namespace halod
