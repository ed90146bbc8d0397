#include "runtime/text/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>

namespace halod {
namespace {

namespace json = boost::json;
using testing::HasSubstr;

std::tm christmas_eve() {
  std::tm now{};
  now.tm_year = 2025 - 1900;
  now.tm_mon = 11;
  now.tm_mday = 24;
  now.tm_hour = 13;
  now.tm_min = 5;
  now.tm_sec = 9;
  now.tm_wday = 3;
  now.tm_yday = 357;
  return now;
}

Result<std::string> render(std::string_view source, const json::object& context = {}) {
  const Result<ChatTemplate> compiled = ChatTemplate::compile(source);
  if (!compiled) return compiled.error();
  return compiled->render(context, christmas_eve());
}

TEST(AChatTemplate, RendersWhatJinja2Renders) {
  std::ifstream file(HALOD_SOURCE_DIR "/tests/runtime/text/jinja/cases.json");
  std::ostringstream text;
  text << file.rdbuf();
  const json::value document = json::parse(text.str());
  size_t n_cases = 0;
  for (const json::value& item : document.at("cases").as_array()) {
    const std::string_view source = item.at("template").as_string();
    const Result<std::string> rendered = render(source, document.at("context").as_object());
    if (item.as_object().contains("fails")) {
      EXPECT_FALSE(rendered) << source << "\n  gave " << *rendered;
    } else if (rendered) {
      EXPECT_EQ(*rendered, std::string_view(item.at("expected").as_string())) << source;
    } else {
      ADD_FAILURE() << source << "\n  failed: " << rendered.error().message;
    }
    ++n_cases;
  }
  EXPECT_GT(n_cases, 500U);
}

TEST(AChatTemplate, FallsBackToChatMlForModelsWithoutOne) {
  const json::object context = json::parse(R"({"messages": [{"role": "system", "content": "Be brief."},
      {"role": "user", "content": "Hi"}, {"role": "assistant", "content": null}], "add_generation_prompt": true})")
                                   .as_object();
  EXPECT_EQ(render("", context).value(),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
            "<|im_start|>assistant\n<|im_end|>\n<|im_start|>assistant\n");
}

TEST(AChatTemplate, HandsItsOwnExceptionsToTheClientWordForWord) {
  const auto result = render("\n{{ raise_exception('Roles must alternate!') }}");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(result.error().message, "Roles must alternate!");
}

TEST(AChatTemplate, NamesTheLineOfWhatFails) {
  const auto rendering = render("a\n{% if true %}\n{{ messages[0].role }}\n{% endif %}");
  EXPECT_EQ(rendering.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(rendering.error().message, HasSubstr("line 3: 'messages' is undefined"));
  const auto syntax = render("a\n{% if true %}\n{{ x");
  EXPECT_EQ(syntax.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(syntax.error().message, HasSubstr("line 3"));
  EXPECT_THAT(render("\n{% include 'x' %}").error().message,
              HasSubstr("line 2: the tag 'include' is not supported"));
  EXPECT_THAT(render("\n\n{{ 1 | nope }}").error().message, HasSubstr("line 3: No filter named 'nope'."));
}

TEST(AChatTemplate, KeepsUnreachedUnknownFiltersHarmless) {
  EXPECT_EQ(render("{% if false %}{{ 1 | nope }}{{ 1 is nope }}{% endif %}x").value(), "x");
}

TEST(AChatTemplate, KeepsTheOrderOfDictionaries) {
  const json::object context = json::parse(R"({"d": {"z": 1, "a": {"y": 2, "b": 3}}})").as_object();
  EXPECT_EQ(render("{{ d | tojson }}", context).value(), R"({"z": 1, "a": {"y": 2, "b": 3}})");
}

TEST(AChatTemplate, RefusesIntegersThatLeave64Bits) {
  EXPECT_THAT(render("{{ 9223372036854775807 + 1 }}").error().message, HasSubstr("64 bits"));
  EXPECT_THAT(render("{{ 3 ** 99 }}").error().message, HasSubstr("64 bits"));
  EXPECT_THAT(render("{{ -(-9223372036854775807 - 1) }}").error().message, HasSubstr("64 bits"));
}

std::string repeat(std::string_view text, int n) {
  std::string result;
  for (int i = 0; i < n; ++i) result += text;
  return result;
}

TEST(AHostileTemplate, EndsWithAnErrorSoonAndWithoutACrash) {
  const std::vector<std::string> sources = {
      // time
      "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
      "{% macro f(n) %}{% for i in [1, 2, 3] %}{% if n %}{{ f(n - 1) }}{% endif %}{% endfor %}{% endmacro "
      "%}{{ f(60) }}",
      "{% set x = 'a' * 9000000 %}{% for a in range(99999) %}{% if 'b' in x %}{% endif %}{% endfor %}",
      "{% set x = 'a' * 900000 %}{% for a in range(9999) %}{{ x.strip(x ~ 'b') | length }}{% endfor %}",
      // memory
      "{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor "
      "%}",
      "{% set ns = namespace(s=[1]) %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
      "{{ 'abc' * 9223372036854775807 }}",
      "{{ [1] * 9223372036854775807 }}",
      "{{ 'a'.center(9223372036854775807) }}",
      "{{ 'a'.zfill(9223372036854775807) }}",
      "{{ 'a'.ljust(9223372036854775807, 'xyz') }}",
      "{{ [1] | batch(9223372036854775807, 0) }}",
      "{{ '%999999999d' % 1 }}",
      "{{ ('a' * 99999) | replace('', 'b' * 99999) }}",
      "{{ range(9223372036854775807) }}",
      // recursion
      "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
      "{% macro f() %}{% call f() %}{{ caller() }}{% endcall %}{% endmacro %}{{ f() }}",
      "{{ " + repeat("(", 100000) + "1" + repeat(")", 100000) + " }}",
      "{{ " + repeat("[", 100000) + repeat("]", 100000) + " }}",
      "{{ " + repeat("not ", 100000) + "1 }}",
      "{{ " + repeat("-", 100000) + "1 }}",
      "{{ 1" + repeat("+1", 100000) + " }}",
      "{{ x" + repeat(".y", 100000) + " }}",
      "{{ x" + repeat("|list", 100000) + " }}",
      "{{ 1" + repeat(" if 1 else 1", 100000) + " }}",
      repeat("{% if 1 %}", 100000),
      "{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
      "{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% set ns.x = {'a': ns.x} %}{% endfor %}",
      "{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% set ns.x = [ns.x.index] %}{% endfor %}",
      "{% set ns = namespace(x=[], y=[]) %}{% for i in range(150) %}{% set ns.x = [ns.x, ns.x] %}{% set ns.y "
      "= [ns.y, ns.y] %}"
      "{% endfor %}{{ ns.x == ns.y }}",
      "{% set ns = namespace(x=[]) %}{% for i in range(150) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ "
      "ns.x | tojson }}",
      // odd arithmetic
      "{{ (-9223372036854775807 - 1) // -1 }}",
      "{{ 1 % 0 }}",
      "{{ [1, 2][::0] }}",
  };
  for (const std::string& source : sources) {
    const auto start = std::chrono::steady_clock::now();
    EXPECT_FALSE(render(source)) << source.substr(0, 200);
    // Sanitizers are ten times slower.
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60)) << source.substr(0, 200);
  }
}

TEST(AHostileTemplate, MayKeepWhatOutlivesItsScope) {
  EXPECT_EQ(render("{% set ns = namespace() %}{% for x in [1, 2] %}{% set ns.loop = loop %}"
                   "{% macro m() %}{{ x }}{% endmacro %}{% set ns.m = m %}{% endfor %}"
                   "{{ ns.m() }}{{ ns.loop.length }}{% set ns.me = ns %}{{ ns.me.me == ns }}")
                .value(),
            "20True");
  EXPECT_EQ(render("{% set ns = namespace() %}{% macro m() %}{% set ns.c = caller %}{% endmacro %}"
                   "{% for x in [7] %}{% call m() %}{{ x }}{% endcall %}{% endfor %}{{ ns.c() }}")
                .value(),
            "7");
}

TEST(AHostileTemplate, GetsNoFurtherWithSlicesAtTheEdges) {
  EXPECT_EQ(render("{{ [1, 2, 3][-9223372036854775807:9223372036854775807:9223372036854775807] }}").value(),
            "[1]");
  EXPECT_EQ(render("{{ [1, 2, 3][::-9223372036854775807] }}").value(), "[3]");
  EXPECT_EQ(render("{{ [][::-1] }}{{ ''[5:] }}").value(), "[]");
}

TEST(AChatTemplate, TakesContextsWithBrokenUtf8) {
  const json::object context{{"s", "a\xFF\xE2\x82 b"}};
  EXPECT_EQ(
      render("{{ s | length }}{{ s[::-1] | length }}{{ s.split()[1] }}{{ s | tojson }}", context).value(),
      "55b\"a\xFF\xE2\x82 b\"");
}

TEST(AChatTemplate, RendersOnManyThreadsAtOnce) {
  const auto compiled =
      ChatTemplate::compile(
          "{% macro m(x) %}<{{ x }}>{% endmacro %}{% for i in d %}{{ m('a' ~ i) }}{% endfor %}")
          .value();
  const json::object context = json::parse(R"({"d": {"x": 1, "y": 2}})").as_object();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&compiled, &context] {
      for (int round = 0; round < 200; ++round) {
        ASSERT_EQ(compiled.render(context, christmas_eve()).value(), "<ax><ay>");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace halod
