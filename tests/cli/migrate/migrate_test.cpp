#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/migrate/llama_swap.h"
#include "cli/migrate/ollama.h"
#include "cli/migrate/server_command.h"
#include "daemon/config/load_config.h"
#include "tests/support/temporary_folder.h"

namespace halod::cli {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::vector<std::string> words(std::string_view command) {
  const auto split = split_command(command);
  return split ? *split : std::vector<std::string>{"error: " + split.error().message};
}

MigratedModel model_of(std::string_view command) {
  MigratedModel model{.name = "m"};
  read_server_command(words(command), model);
  return model;
}

/// halod's own loader reads what comes out.
Config config_of(const Result<Migration>& migration) {
  if (!migration) throw std::runtime_error(migration.error().message);
  const auto config = parse_config(to_yaml(*migration), "migrated.yaml");
  if (!config) throw std::runtime_error(config.error().message + "\n" + to_yaml(*migration));
  return *config;
}

TEST(ACommand, IsSplitAsAShellDoes) {
  EXPECT_THAT(words("a  'b c' \"d \\\" e\" f\\ g ''"), ElementsAre("a", "b c", "d \" e", "f g", ""));
  EXPECT_THAT(words("llama-server\n  # which one\n  -m x.gguf \\\n  -c 5\n"),
              ElementsAre("llama-server", "-m", "x.gguf", "-c", "5"));
  EXPECT_THAT(words("a#b #c"), ElementsAre("a#b", "#c"));
  EXPECT_THAT(words("a 'b"), ElementsAre(HasSubstr("not closed")));
}

TEST(ACommandOfLlamaServer, SaysWhatIsServedAndHow) {
  const MigratedModel model = model_of(
      "/opt/llama-server --port ${PORT} -m /m/a.gguf -c 65536 --parallel=4 --alias x,m,y -ngl 99 -fa on "
      "--no-mmap --jinja "
      "--chat-template-file t.jinja --temp 0.6 --presence-penalty -0.5 -n -1 -ctk q8_0 --override-tensor "
      "'a=CPU'");
  EXPECT_EQ(model.path, "/m/a.gguf");
  EXPECT_EQ(model.context_length, 16384U);
  EXPECT_EQ(model.max_sequences, 4U);
  EXPECT_THAT(model.aliases, ElementsAre("x", "y"));
  EXPECT_EQ(model.chat_template_file, "t.jinja");
  EXPECT_EQ(model.defaults,
            (std::map<std::string, std::string>{{"temperature", "0.6"}, {"presence_penalty", "-0.5"}}));
  EXPECT_THAT(model.notes, ElementsAre("no equivalent: -ctk q8_0", "no equivalent: --override-tensor a=CPU"));
}

TEST(ACommandOfLlamaServer, ThatHasAnotherBeforeItOrAKeyInItIsNoted) {
  const MigratedModel model =
      model_of("env HSA_OVERRIDE_GFX_VERSION=11.5.1 llama-server -m a.gguf --api-key hush");
  EXPECT_EQ(model.path, "a.gguf");
  EXPECT_THAT(model.notes, ElementsAre(HasSubstr("before llama-server: env HSA_OVERRIDE_GFX_VERSION=11.5.1"),
                                       HasSubstr("http.api_keys_file")));
  EXPECT_THAT(model.notes, Not(Contains(HasSubstr("hush"))));
}

TEST(ACommandOfLlamaServer, MayHaveAnotherNameOrBeInAContainer) {
  EXPECT_EQ(model_of("/opt/llama-server-b6000 -m a.gguf").path, "a.gguf");
  const MigratedModel model = model_of(
      "docker run --rm -v /mnt/x:/other -v /mnt/models:/models:ro ghcr.io/ggml-org/llama.cpp:server-vulkan "
      "-m /models/a.gguf");
  EXPECT_EQ(model.path, "/mnt/models/a.gguf");
  EXPECT_THAT(model.notes, ElementsAre(HasSubstr("before llama-server: docker run --rm")));
}

TEST(ACommandOfLlamaServer, WithoutAFileIsNoModel) {
  EXPECT_THAT(
      model_of("llama-server -hf Qwen/Qwen3-30B-A3B-GGUF:Q4_K_M").notes,
      ElementsAre(HasSubstr("haloctl pull Qwen/Qwen3-30B-A3B-GGUF:Q4_K_M"), HasSubstr("names no file")));
  EXPECT_THAT(model_of("vllm serve x").notes, ElementsAre(HasSubstr("no llama-server: vllm serve x")));
  EXPECT_THAT(model_of("llama-server -m a.gguf -c many").notes, ElementsAre("no equivalent: -c many"));
}

constexpr std::string_view kLlamaSwap = R"(
healthCheckTimeout: 300
logLevel: info
startPort: 10001
macros:
  "server": "/usr/bin/llama-server --port ${PORT} ${common}"
  "common": >
    --no-mmap -ngl 999
    --temp 0.6
models:
  "qwen3-30b":
    cmd: |
      # what ${common} is stands above
      ${server}
      -m /models/Qwen3-30B.gguf
      -c 32768
    aliases: [gpt-4o-mini, "gpt 4"]
    ttl: 300
  "coder":
    cmd: ${server} -m "${dir}/coder.gguf" -np 2 -c 8192 --top-p 0.9
    macros: {dir: "/srv/my models"}
    proxy: http://127.0.0.1:9999
    env: ["A=b"]
    filters: {strip_params: "temperature"}
  "embed":
    cmd: docker run --rm image serve
groups:
  always: {swap: false, exclusive: false, persistent: true, members: [coder]}
  others: {swap: true, members: [qwen3-30b]}
hooks:
  on_startup:
    preload: [gpt-4o-mini, coder, embed]
)";

TEST(AConfigurationOfLlamaSwap, BecomesOneThatHalodLoads) {
  const auto migration = migrate_llama_swap(kLlamaSwap, "config.yaml");
  const Config config = config_of(migration);
  ASSERT_EQ(config.models.list.size(), 2U);
  EXPECT_EQ(config.models.list[0], (ModelEntryConfig{.path = "/models/Qwen3-30B.gguf",
                                                     .name = "qwen3-30b",
                                                     .aliases = {"gpt-4o-mini", "gpt 4"},
                                                     .time_to_live = std::chrono::seconds(300),
                                                     .context_length = 32768}));
  EXPECT_EQ(config.models.list[1].path, "/srv/my models/coder.gguf");
  EXPECT_EQ(config.models.list[1].context_length, 4096U);
  EXPECT_EQ(config.models.list[1].max_sequences, 2U);
  EXPECT_TRUE(config.models.list[1].pinned);
  EXPECT_EQ(config.models.default_model, "qwen3-30b");
  EXPECT_EQ(config.models.wait_timeout, std::chrono::seconds(300));
  EXPECT_EQ(config.defaults.temperature, 0.6);
  EXPECT_EQ(config.defaults.top_p, 1.0);
}

TEST(AConfigurationOfLlamaSwap, LeavesACommentForWhatHasNoEquivalent) {
  const std::string text = to_yaml(*migrate_llama_swap(kLlamaSwap, "config.yaml"));
  for (const char* part :
       {"# embed: not taken over", "# its command is no llama-server: docker run --rm image serve",
        "# no equivalent: env", "# no equivalent: filters", "# top_p: 0.9 was this model's own",
        "# group others had one of its models at a time (qwen3-30b)",
        "# coder was loaded at the start too: haloctl load coder",
        "# embed was loaded at the start, and is not here"})
    EXPECT_THAT(text, HasSubstr(part));
  for (const char* part : {"proxy", "logLevel", "startPort", "PORT"}) EXPECT_THAT(text, Not(HasSubstr(part)));
}

TEST(AConfigurationOfLlamaSwap, ThatIsNoneIsRefusedWithItsPlace) {
  EXPECT_THAT(migrate_llama_swap("models: [\n", "c.yaml").error().message, HasSubstr("c.yaml:2: "));
  EXPECT_THAT(migrate_llama_swap("http: {}\n", "c.yaml").error().message,
              HasSubstr("no configuration of llama-swap"));
  EXPECT_THAT(migrate_llama_swap("", "c.yaml").error().message, HasSubstr("no configuration of llama-swap"));
  EXPECT_THAT(migrate_llama_swap("models:\n  a:\n    cmd: llama-server 'x\n", "c.yaml").error().message,
              HasSubstr("c.yaml:3: model a: the command has a ' that is not closed"));
  EXPECT_THAT(migrate_llama_swap("models:\n  a: text\n", "c.yaml").error().message, HasSubstr("model a"));
}

TEST(AMigration, QuotesNamesAndKeepsCommentsOnTheirLine) {
  Migration migration{.source = "a\nb: c", .models = {}};
  migration.models.push_back(
      {.name = "5", .path = "/a: b/#c \"d\"\n", .aliases = {"null", "qwen3:8b"}, .notes = {"x\n- path: y"}});
  migration.models.back().time_to_live_s = 1'000'000'000;
  const Config config = config_of(migration);
  ASSERT_EQ(config.models.list.size(), 1U);
  EXPECT_EQ(config.models.list[0].name, "5");
  EXPECT_EQ(config.models.list[0].path, "/a: b/#c \"d\"\n");
  EXPECT_THAT(config.models.list[0].aliases, ElementsAre("null", "qwen3:8b"));
  EXPECT_EQ(config.models.list[0].time_to_live, std::chrono::hours(720));
}

class AStoreOfOllama : public ::testing::Test {
 protected:
  void manifest(const std::string& name, const std::string& layers) {
    const auto file = folder_.path() / "models/manifests" / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << R"({"schemaVersion": 2, "layers": [)" << layers << "]}";
  }
  std::string layer(const std::string& kind, const std::string& hash, const std::string& content) {
    std::filesystem::create_directories(folder_.path() / "models/blobs");
    if (!content.empty()) folder_.write_file("models/blobs/sha256-" + hash, content);
    return R"({"mediaType": "application/vnd.ollama.image.)" + kind + R"(", "digest": "sha256:)" + hash +
           R"("})";
  }
  std::string text() { return to_yaml(*migrate_ollama(folder_.path())); }

  TemporaryFolder folder_;
};

TEST_F(AStoreOfOllama, BecomesAConfigurationThatHalodLoads) {
  manifest(
      "registry.ollama.ai/library/qwen3/latest",
      layer("model", "aa", "GGUF...") + "," + layer("template", "bb", "{{ .Prompt }}") + "," +
          layer(
              "params", "cc",
              R"({"num_ctx": 8192, "temperature": 0.6, "top_k": 20, "stop": ["<|im_end|>"], "mirostat": 2, "num_gpu": 99})"));
  manifest("hf.co/org/name/Q4_K_M", layer("model", "dd", "GGUF...") + "," + layer("projector", "ee", "x") +
                                        "," + layer("params", "ff", R"({"temperature": 0.6})"));
  const Config config = config_of(migrate_ollama(folder_.path()));
  ASSERT_EQ(config.models.list.size(), 2U);
  EXPECT_EQ(config.models.list[0].name, "hf.co/org/name:Q4_K_M");
  EXPECT_EQ(config.models.list[0].path, folder_.path() / "models/blobs/sha256-dd");
  EXPECT_EQ(config.models.list[1], (ModelEntryConfig{.path = folder_.path() / "models/blobs/sha256-aa",
                                                     .name = "qwen3:latest",
                                                     .aliases = {"qwen3"},
                                                     .context_length = 8192}));
  EXPECT_EQ(config.defaults.temperature, 0.6);
  EXPECT_EQ(config.defaults.top_k, 0U);
  for (const char* part : {"# no equivalent: its projector", "# stop [\"<|im_end|>\"]",
                           "# no equivalent: PARAMETER mirostat 2", "# top_k: 20 was this model's own"})
    EXPECT_THAT(text(), HasSubstr(part));
  EXPECT_THAT(text(), Not(HasSubstr("num_gpu")));
}

TEST_F(AStoreOfOllama, NamesWhatIsDamagedAndGoesOn) {
  manifest("registry.ollama.ai/library/good/8b", layer("model", "aa", "GGUF..."));
  manifest("registry.ollama.ai/library/gone/8b", layer("model", "ab", ""));
  manifest("registry.ollama.ai/library/torch/8b", layer("model", "ac", "PK..."));
  manifest("registry.ollama.ai/me/empty/8b", "");
  folder_.write_file("models/manifests/registry.ollama.ai/library/good/9b", "no JSON");
  const Config config = config_of(migrate_ollama(folder_.path() / "models"));
  ASSERT_EQ(config.models.list.size(), 1U);
  EXPECT_EQ(config.models.list[0].name, "good:8b");
  EXPECT_THAT(config.models.list[0].aliases, IsEmpty());
  for (const char* part :
       {"# gone:8b: not taken over", "sha256-ab is missing",
        "sha256-ac is missing, cannot be read, or is no GGUF file", "# me/empty:8b: not taken over",
        "# it has no file of weights", "good/9b is no manifest"})
    EXPECT_THAT(text(), HasSubstr(part));
}

TEST_F(AStoreOfOllama, ThatIsNotThereIsAnErrorWithTheFolder) {
  const auto migration = migrate_ollama(folder_.path());
  ASSERT_FALSE(migration);
  EXPECT_THAT(migration.error().message,
              HasSubstr(folder_.path().string() + ": there are no manifests of Ollama"));
}

}  // namespace
}  // namespace halod::cli
