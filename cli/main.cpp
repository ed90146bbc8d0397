// haloctl: halod from the command line.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <functional>

#include "cli/commands.h"
#include "cli/exit_status.h"

namespace halod::cli {
namespace {

void add_sampling_options(CLI::App& command, SamplingFlags& flags) {
  command.add_option("--temperature", flags.temperature, "0 always takes the most likely token");
  command.add_option("--max-tokens", flags.max_tokens, "tokens of the answer at most");
  command.add_option("--seed", flags.seed, "makes sampling repeatable");
}

int run(int argc, char** argv) {
  CLI::App app{"haloctl: look at a halod server and talk to its model", "haloctl"};
  app.require_subcommand(1);
  app.fallthrough();  // --json and --url may stand after the command too
  app.set_version_flag("--version", "haloctl " HALOD_VERSION);
  app.footer(
      "Exit status: 0 success, 1 the server refused, 2 wrong usage, 3 no server there, 4 the server is not "
      "ready.");
  Server server{.url = "http://127.0.0.1:8000"};
  bool as_json = false;
  app.add_option("--url", server.url, "the server")->envname("HALOD_URL")->capture_default_str();
  app.add_option("--api-key", server.api_key, "when the server asks for one")->envname("HALOD_API_KEY");
  app.add_flag("--json", as_json, "print JSON as the server sent it");
  ChatFlags chat;
  CompleteFlags complete;
  std::function<int(const ApiClient&)> command;
  const auto add = [&](const char* name, const char* description, auto function) {
    CLI::App* subcommand = app.add_subcommand(name, description);
    subcommand->callback([&command, function] { command = function; });
    return subcommand;
  };
  add("status", "version, model, state and requests",
      [&as_json](const ApiClient& client) { return run_status(client, as_json); });
  add("health", "whether requests are accepted now",
      [&as_json](const ApiClient& client) { return run_health(client, as_json); });
  add("models", "the models that are served",
      [&as_json](const ApiClient& client) { return run_models(client, as_json); });
  add("metrics", "the numbers for Prometheus", [](const ApiClient& client) { return run_metrics(client); });
  CLI::App* chat_command = add("chat", "ask, or talk when no text is given on a terminal",
                               [&](const ApiClient& client) { return run_chat(client, as_json, chat); });
  chat_command->add_option("text", chat.text, "the message (default: standard input)");
  chat_command->add_option("--system", chat.system, "the system message");
  add_sampling_options(*chat_command, chat.sampling);
  CLI::App* complete_command = add("complete", "continue a text", [&](const ApiClient& client) {
    return run_complete(client, as_json, complete);
  });
  complete_command->add_option("text", complete.text, "the beginning (default: standard input)");
  add_sampling_options(*complete_command, complete.sampling);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kSuccess : kUsage;
  }
  return command(ApiClient(server));
}

}  // namespace
}  // namespace halod::cli

int main(int argc, char** argv) {
  try {
    return halod::cli::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "haloctl: %s\n", error.what());
    return halod::cli::kUnreachable;
  }
}
