#include "daemon/config/load_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <regex>
#include <sstream>

#include "daemon/config/config_fields.h"

namespace halod {
namespace {

using ::testing::HasSubstr;

std::string example_text() {
  std::ifstream file(HALOD_SOURCE_DIR "/etc/halod.yaml");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string error_of(std::string_view yaml) {
  const auto config = parse_config(yaml, "test.yaml");
  return config ? "no error" : config.error().message;
}

TEST(TheExampleFile, LoadsAsItIsAndGivesTheDefaults) {
  const auto config = load_config(HALOD_SOURCE_DIR "/etc/halod.yaml");
  ASSERT_TRUE(config) << config.error().message;
  for (const ConfigField& field : config_fields())
    EXPECT_EQ(format_value(field, *config), format_value(field, Config{})) << field.key;
}

TEST(TheExampleFile, DocumentsEveryKeyWithItsDefault) {
  const std::string text = example_text();
  std::smatch match;
  size_t n_documented = 0;
  for (const ConfigField& field : config_fields()) {
    const std::string name(field.key.substr(field.key.rfind('.') + 1));
    const bool in_list = field.key.starts_with("models.list.");
    const bool in_section = !in_list && std::ranges::count(field.key, '.') == 2;
    const std::string indent = in_section       ? "    # "
                               : !in_list       ? "  # "
                               : name == "path" ? "  #   - "
                                                : "  #     ";
    const std::string line = "\n" + indent + name + ": " + format_value(field, Config{}) + "\n";
    EXPECT_THAT(text, HasSubstr(line)) << field.key;
    ++n_documented;
  }
  const std::regex key_line("\n  (  )?#(   -|    )? [a-z_]+: ");
  const auto n_lines =
      std::distance(std::sregex_iterator(text.begin(), text.end(), key_line), std::sregex_iterator());
  EXPECT_EQ(n_lines, static_cast<std::ptrdiff_t>(n_documented)) << "a key is documented that does not exist";
}

TEST(TheExampleFile, LoadsWithEveryDefaultUncommented) {
  const std::string text = std::regex_replace(example_text(), std::regex("\n((  )+)# ([a-z_]+: )"), "\n$1$3");

  const auto config = parse_config(text, "uncommented.yaml");
  ASSERT_TRUE(config) << config.error().message;
  for (const ConfigField& field : config_fields())
    EXPECT_EQ(format_value(field, *config), format_value(field, Config{})) << field.key;
}

TEST(TheConfigLoader, ReadsAListOfModels) {
  const auto config = parse_config(R"(
models:
  default: chat
  load_on_request: false
  time_to_live: 10min
  list:
    - path: /models/qwen.gguf
      name: chat
      aliases: [gpt-4, gpt-4o]
      pinned: true
    - {path: small.gguf, context_length: 4096, time_to_live: 30s}
)",
                                   "test.yaml");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->models.default_model, "chat");
  EXPECT_FALSE(config->models.load_on_request);
  ASSERT_EQ(config->models.list.size(), 2U);
  EXPECT_EQ(config->models.list[0].name, "chat");
  EXPECT_THAT(config->models.list[0].aliases, ::testing::ElementsAre("gpt-4", "gpt-4o"));
  EXPECT_TRUE(config->models.list[0].pinned);
  EXPECT_EQ(config->models.list[1].context_length, 4096U);
  EXPECT_EQ(config->models.list[1].time_to_live, std::chrono::seconds(30));
}

TEST(TheConfigLoader, SaysWhatIsWrongInAListOfModels) {
  EXPECT_THAT(error_of("models:\n  list:\n    - {name: x}\n"),
              HasSubstr("test.yaml:3:7: a model in models.list has no path"));
  EXPECT_THAT(error_of("models:\n  list:\n    - {path: x, pined: true}\n"),
              HasSubstr("unknown key 'models.list.pined'; did you mean 'models.list.pinned'?"));
  EXPECT_THAT(error_of("models:\n  list: x.gguf\n"), HasSubstr("models.list takes a list of models"));
  EXPECT_THAT(error_of("models:\n  list: [x.gguf]\n"), HasSubstr("at least 'path:'"));
  EXPECT_THAT(error_of("models:\n  load_on_request: perhaps\n"), HasSubstr("it takes true or false"));
}

TEST(TheConfigLoader, ReadsValuesOfEveryKind) {
  const auto config = parse_config(
      "http:\n  listen: '[::1]:0'\n  max_body_bytes: 2MiB\n  idle_timeout: 1.5s\n  api_keys: [a, 'b c']\n"
      "engine:\n  backend: cpu\n  n_threads: 2\n  gpu_graphs: 'off'\n  tuning:\n    mode: off\n    budget: "
      "5s\n  kv_cache_tokens: "
      "1000000000000\ndefaults:\n  temperature: "
      "0.25\nlimits:\nlog:\n  level: debug\n",
      "test.yaml");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->http.listen, "[::1]:0");
  EXPECT_EQ(config->http.max_body_bytes, 2U << 20);
  EXPECT_EQ(config->http.idle_timeout, std::chrono::milliseconds(1500));
  EXPECT_THAT(config->http.api_keys, ::testing::ElementsAre("a", "b c"));
  EXPECT_EQ(config->engine.backend, "cpu");
  EXPECT_EQ(config->engine.n_threads, 2U);
  EXPECT_EQ(config->engine.gpu_graphs, "off");
  EXPECT_EQ(config->engine.tuning_mode, "off");
  EXPECT_EQ(config->engine.tuning_budget, std::chrono::seconds(5));
  EXPECT_EQ(config->engine.kv_cache_tokens, 1'000'000'000'000U);
  EXPECT_EQ(config->defaults.temperature, 0.25);
  EXPECT_THAT(config->defaults.given, ::testing::ElementsAre("temperature"));
  EXPECT_EQ(config->log.level, "debug");
}

TEST(TheConfigLoader, AcceptsAnEmptyFile) {
  EXPECT_TRUE(parse_config("", "test.yaml"));
  EXPECT_TRUE(parse_config("# nothing\n", "test.yaml"));
}

TEST(TheConfigLoader, NamesPlaceAndNearestKeyOfAnUnknownKey) {
  EXPECT_EQ(error_of("http:\n  listne: 127.0.0.1:80\n"),
            "test.yaml:2:3: unknown key 'http.listne'; did you mean 'http.listen'?");
  EXPECT_EQ(error_of("\nhtpp:\n  listen: 1\n"), "test.yaml:2:1: unknown key 'htpp'; did you mean 'http'?");
  EXPECT_THAT(error_of("log:\n  colour: red\n"), HasSubstr("known here: level"));
}

struct BadValue {
  const char* yaml;
  const char* message;
};
class ABadValue : public ::testing::TestWithParam<BadValue> {};

TEST_P(ABadValue, IsRefusedWithPlaceKeyAndRemedy) {
  EXPECT_THAT(error_of(GetParam().yaml), HasSubstr(GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    All, ABadValue,
    ::testing::Values(
        BadValue{"http:\n  max_connections: many\n",
                 "test.yaml:2:20: http.max_connections is 'many'; it takes a whole number from 1 to 65536"},
        BadValue{"http:\n  max_connections: 0\n", "it takes a whole number from 1 to 65536"},
        BadValue{"http:\n  max_connections: 1.5\n", "http.max_connections is '1.5'"},
        BadValue{"http:\n  max_connections: -1\n", "http.max_connections is '-1'"},
        BadValue{"http:\n  max_connections: [1]\n",
                 "test.yaml:2:20: http.max_connections takes a whole number"},
        BadValue{"http:\n  max_body_bytes: 2GB\n",
                 "it takes a size in bytes (or KiB, MiB, GiB) from 1KiB to 1GiB"},
        BadValue{"http:\n  idle_timeout: 75\n", "it takes a duration (ms, s, min, h) from 1s to 1h"},
        BadValue{"http:\n  idle_timeout: 0.0001s\n", "http.idle_timeout is '0.0001s'"},
        BadValue{"http:\n  api_keys: secret\n", "test.yaml:2:13: http.api_keys takes a list of strings"},
        BadValue{"http:\n  api_keys: ['']\n", "none of them empty"},
        BadValue{"http:\n  listen: '8000'\n", "it takes HOST:PORT"},
        BadValue{"http:\n  listen: '127.0.0.1:65536'\n", "a port from 0"},
        BadValue{"http:\n  listen: '::1:80'\n", "[::1]:8000"},
        BadValue{"engine:\n  backend: cuda\n", "it takes one of auto, cpu, hip"},
        BadValue{
            "engine:\n  tuning:\n    mode: always\n",
            "test.yaml:3:11: engine.tuning.mode is 'always'; it takes one of off, use, tune, background"},
        BadValue{"engine:\n  tuning:\n    moed: off\n", "did you mean 'engine.tuning.mode'?"},
        BadValue{"engine:\n  tuning: off\n", "'engine.tuning' is a section"},
        BadValue{"engine:\n  tuning:\n  tuning:\n", "section 'engine.tuning' is given twice"},
        BadValue{"engine:\n  tuning:\n    budget: 2h\n", "from 0ms to 1h"},
        BadValue{"engine:\n  restart_delay_min: 20s\n", "is longer than engine.restart_delay_max"},
        BadValue{"engine:\n  heartbeat_timeout: 100ms\n",
                 "engine.heartbeat_interval (1000 ms) must be shorter"},
        BadValue{"defaults:\n  temperature: .nan\n",
                 "defaults.temperature is '.nan'; it takes a number from 0 to 2"},
        BadValue{"defaults:\n  temperature: nan\n", "defaults.temperature"},
        BadValue{"defaults:\n  top_p: 0\n", "from above 0 to 1"},
        BadValue{"defaults:\n  min_p: 1\n", "to below 1"},
        BadValue{"power:\n  hold_profile: fast\n",
                 "power.hold_profile is 'fast'; it takes one of off, performance"},
        BadValue{"log:\n  level: loud\n", "one of trace, debug, info, warning, error, critical"},
        BadValue{"log:\n  level: info\n  level: debug\n", "test.yaml:3:3: log.level is given twice"},
        BadValue{"log:\n  level: info\nlog:\n", "section 'log' is given twice"},
        BadValue{"log: info\n", "'log' is a section"}, BadValue{"- a\n", "the file must hold sections"},
        BadValue{"http: [\n", "test.yaml:2:1: not valid YAML"}, BadValue{"? [a]\n: b\n", "unknown key ''"}));

TEST(TheConfigLoader, SaysThatAFileIsMissing) {
  const auto config = load_config("/nonexistent/halod.yaml");
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(config.error().message, HasSubstr("/nonexistent/halod.yaml"));
}

}  // namespace
}  // namespace halod
