#include "cli/command_line.h"

#include <fmt/format.h>

#include <utility>

#include "cli/completion.h"
#include "cli/exit_status.h"
#include "cli/man_page.h"

namespace halod::cli {
namespace {

/// Declares commands one after the other; `then` runs when the command was given.
class Declarer {
 public:
  Declarer(CLI::App& app, CommandLine& line) : app_(app), line_(line) {}

  /// One that needs no server.
  CLI::App& add(const std::string& name, const std::string& description, std::function<int()> then) {
    CLI::App* command = app_.add_subcommand(name, description);
    command->callback([&line = line_, then = std::move(then)] { line.command = then; });
    return *command;
  }
  /// One that looks at a server, or changes it.
  CLI::App& add(const std::string& name, const std::string& description, Purpose purpose,
                std::function<int(ControlClient&)> then) {
    return add(name, description, [&line = line_, purpose, then = std::move(then)] {
      const auto client = choose_server(line.server, purpose);
      return client ? then(**client) : report_failure(client.error());
    });
  }
  /// One for which there are HTTP routes only.
  CLI::App& add_http(const std::string& name, const std::string& description,
                     std::function<int(const ApiClient&)> then) {
    return add(name, description,
               [&line = line_, then = std::move(then)] { return then(ApiClient(http_server(line.server))); });
  }

 private:
  CLI::App& app_;
  CommandLine& line_;
};

void add_sampling_options(CLI::App& command, SamplingFlags& flags) {
  command.add_option("--temperature", flags.temperature, "0 always takes the most likely token");
  command.add_option("--max-tokens", flags.max_tokens, "tokens of the answer at most");
  command.add_option("--seed", flags.seed, "makes sampling repeatable");
}

void declare_views(Declarer& declare, CommandLine& line) {
  declare.add("status", "version, model, state, requests, memory and power profile", Purpose::kLook,
              [&line](ControlClient& client) { return run_status(client, line.json); });
  declare.add("health", "whether requests are accepted now", Purpose::kLook,
              [&line](ControlClient& client) { return run_health(client, line.json); });
  CLI::App& models = declare.add(
      "models", "the models that there are, with state, quantisation, size and context", Purpose::kLook,
      [&line](ControlClient& client) { return run_models(client, line.json, line.names_only); });
  models.add_flag("--names", line.names_only, "the names alone, one a line");
  declare.add("top", "requests, speed and memory of each loaded model, every second on a terminal, else once",
              Purpose::kLook, [&line](ControlClient& client) { return run_top(client, line.json); });
  declare.add("tuning", "which kernel serves which operation of the loaded models", Purpose::kLook,
              [&line](ControlClient& client) { return run_tuning(client, line.json); });
  declare.add_http("metrics", "the numbers for Prometheus",
                   [](const ApiClient& client) { return run_metrics(client); });
}

void declare_jobs(Declarer& declare, CommandLine& line) {
  const struct {
    const char* name;
    const char* description;
    bool takes_model, takes_policy;
  } rows[] = {
      {"load", "load a model beside those that are loaded", true, false},
      {"unload", "take a model out of memory", true, true},
      {"swap", "load a model in the place of the active one", true, true},
      {"rescan", "look for new model files", false, false},
  };
  for (const auto& row : rows) {
    CLI::App& command = declare.add(row.name, row.description, Purpose::kChange,
                                    [&line, name = row.name](ControlClient& client) {
                                      line.job.verb = name;
                                      return run_job_command(client, line.json, line.job, line.no_wait);
                                    });
    if (row.takes_model)
      command.add_option("model", line.job.model, "its name")->required()->type_name(kModelType);
    if (row.takes_policy) {
      command
          .add_option(
              "--policy", line.job.policy,
              "what becomes of running requests: drain lets them finish, pause puts them aside (default: "
              "the server's)")
          ->check(CLI::IsMember({"drain", "pause"}));
    }
    command.add_flag("--no-wait", line.no_wait, "return once the job is accepted");
  }
  declare.add("jobs", "what was asked for, and how far it is", Purpose::kLook,
              [&line](ControlClient& client) { return run_jobs(client, line.json); });
  declare
      .add("cancel", "stop a job", Purpose::kLook,
           [&line](ControlClient& client) { return run_cancel(client, line.json, line.job_id); })
      .add_option("job", line.job_id, "its number")
      ->required();
}

void declare_service(Declarer& declare, CommandLine& line) {
  declare.add("reload", "have the server read its configuration again", Purpose::kChange,
              [&line](ControlClient& client) { return run_reload(client, line.json); });
  declare
      .add("log-level", "change how much the server logs, until it restarts", Purpose::kChange,
           [&line](ControlClient& client) { return run_log_level(client, line.json, line.log_level); })
      .add_option("level", line.log_level, "the least important lines to log")
      ->required()
      ->check(CLI::IsMember({"trace", "debug", "info", "warning", "error", "critical"}));
  CLI::App& doctor = declare.add(
      "doctor", "check whether this machine is set up for halod, with the remedies",
      [&line] { return run_doctor(choose_server(line.server, Purpose::kLook), line.json, line.doctor); });
  doctor.add_option("--models", line.doctor.models, "the folder with models, whose disk is measured")
      ->type_name("DIR");
  // No group: hidden. For tests and for machines that somebody else recorded.
  doctor
      .add_option("--root", line.doctor.root,
                  "look at the machine recorded below this folder; nothing is measured")
      ->check(CLI::ExistingDirectory)
      ->group("");
  doctor.add_option("--bench", line.doctor.bench, "the halo-bench program to measure with")->group("");
}

void declare_inspect(Declarer& declare, CommandLine& line) {
  CLI::App& inspect = declare.add(
      "inspect", "say what a model file is, what serving it takes, and whether it runs here; needs no server",
      [&line] { return run_inspect(line.json, line.inspect); });
  inspect
      .add_option("path", line.inspect.path,
                  "a GGUF file (of a split one, its first part), or a model's folder")
      ->required()
      ->type_name("FILE");
  inspect
      .add_option("--context", line.inspect.context_length,
                  "tokens per sequence (default: the model's, at most 32768, less where memory is short)")
      ->check(CLI::Range(2, 1 << 30))
      ->type_name("TOKENS");
  inspect
      .add_option("--sequences", line.inspect.n_sequences, "how many of them at the same time (default: 8)")
      ->check(CLI::Range(1, 1024))
      ->type_name("NUMBER");
  inspect
      .add_option("--bandwidth", line.inspect.read_gb_per_s,
                  "how fast the machine reads memory, to predict with (default: measure it)")
      ->check(CLI::Range(0.001, 1e6))
      ->type_name("GB/S");
  // No group: hidden. For tests.
  inspect.add_option("--bench", line.inspect.bench, "the halo-bench program to ask")->group("");
}

void declare_tune(Declarer& declare, CommandLine& line) {
  CLI::App& tune =
      declare.add("tune", "measure which kernels are fastest on this machine, for halod to use", [&line] {
        return run_tune(line.json, line.tune, [&line] { return choose_server(line.server, Purpose::kLook); });
      });
  tune.add_option("--model", line.tune.model,
                  "a file, a folder or a name that the server knows (default: what is loaded there)")
      ->type_name(kModelType);
  tune.add_option("--budget", line.tune.budget, "measure for so long at most, as 60s or 5min")
      ->capture_default_str()
      ->type_name("TIME");
  tune.add_option("--backend", line.tune.backend,
                  "whose kernels: auto, cpu or hip (default: those that the server uses; auto without one)")
      ->check(CLI::IsMember({"auto", "cpu", "hip"}))
      ->type_name("NAME");
  tune.add_option("--threads", line.tune.n_threads,
                  "the server's engine.n_threads, where that is set (default: one per physical core)")
      ->check(CLI::Range(1, 1024))
      ->type_name("NUMBER");
  tune.add_option(
          "--cache", line.tune.cache,
          "the directory of the results (default: the service's where it may be written, else the user's)")
      ->type_name("DIR");
  tune.add_option("--export", line.tune.export_file,
                  "write all results to this file, for machines like this one")
      ->type_name("FILE");
  tune.add_option("--import", line.tune.import_file, "take over the results of a machine like this one")
      ->type_name("FILE");
  tune.add_flag("--again", line.tune.again, "measure what is known already, too");
  tune.add_flag("--verify", line.tune.verify, "time what is chosen against the default once more");
  // No group: hidden. For tests.
  tune.add_option("--bench", line.tune.bench, "the halo-bench program that measures")->group("");
}

void declare_migrate(Declarer& declare, CommandLine& line) {
  CLI::App& migrate = declare.add(
      "migrate", "print a halod.yaml made of the configuration of llama-swap or Ollama; needs no server",
      [&line] { return run_migrate(line.migrate); });
  migrate.add_option("source", line.migrate.source, "whose")
      ->required()
      ->check(CLI::IsMember({"llama-swap", "ollama"}));
  migrate
      .add_option("path", line.migrate.path,
                  "llama-swap's config.yaml, or the folder of Ollama's models (default: where Ollama has it)")
      ->type_name("FILE");
}

/// Has the server look at new files. Not worth failing for: the files are there.
void rescan_quietly(const ServerChoice& server) {
  const auto client = choose_server(server, Purpose::kLook);
  const auto job = client ? (*client)->start({.verb = "rescan"}) : Reply<boost::json::value>(client.error());
  if (!job) fmt::print(stderr, "halod was not told ({}); `haloctl rescan` tells it\n", job.error().message);
}

void declare_pull(Declarer& declare, CommandLine& line) {
  CLI::App& pull =
      declare.add("pull", "download a model from a hub, or go on with it; needs no server", [&line] {
        return run_pull(line.json, line.pull, [&line] {
          if (!line.no_rescan) rescan_quietly(line.server);
        });
      });
  pull.add_option("name", line.pull.model,
                  "org/name, with :Q4_K_M or :file.gguf where it has several (default: Q4_K_M)")
      ->required()
      ->type_name("ORG/NAME[:WHAT]");
  pull.add_option("--to", line.pull.directory, "the folder for models; they go to org/name below it")
      ->default_val(kModelsDirectory)
      ->type_name("DIR");
  pull.add_option("--revision", line.pull.revision, "a branch, tag or commit of the repository")
      ->default_val("main");
  pull.add_option("--hub", line.pull.hub, "where to download from")
      ->envname("HF_ENDPOINT")
      ->default_val(kDefaultHub)
      ->type_name("URL");
  pull.add_option(
          "--token-file", line.pull.token_file,
          "a file with the hub's token, for models that need one (default: HF_TOKEN, else the token that "
          "the hub's own tools have stored)")
      ->type_name("FILE");
  pull.add_option("--attempts", line.pull.n_attempts,
                  "how often to ask a hub that does not answer, or breaks off, without a byte gained")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000))
      ->type_name("NUMBER");
  pull.add_flag("--list", line.pull.list, "say what the repository has, and download nothing");
  pull.add_flag("--no-rescan", line.no_rescan, "do not tell the server that there is a new model");
}

void declare_talk(Declarer& declare, CommandLine& line) {
  CLI::App& chat =
      declare.add_http("chat", "ask, or talk when no text is given on a terminal",
                       [&line](const ApiClient& client) { return run_chat(client, line.json, line.chat); });
  chat.add_option("text", line.chat.text, "the message (default: standard input)");
  chat.add_option("--system", line.chat.system, "the system message");
  chat.add_option("--model", line.chat.model, "who shall answer (default: the active model)")
      ->type_name(kModelType);
  add_sampling_options(chat, line.chat.sampling);
  CLI::App& complete = declare.add_http("complete", "continue a text", [&line](const ApiClient& client) {
    return run_complete(client, line.json, line.complete);
  });
  complete.add_option("text", line.complete.text, "the beginning (default: standard input)");
  complete.add_option("--model", line.complete.model, "who shall continue it (default: the active model)")
      ->type_name(kModelType);
  add_sampling_options(complete, line.complete.sampling);
}

/// For packagers, and for nobody's help page.
void declare_generators(Declarer& declare, CLI::App& app, CommandLine& line) {
  CLI::App& completion = declare.add("completion", "print the completion script of a shell",
                                     [&app, &line] { return print_completion(app, line.shell); });
  completion.group("");
  completion.add_option("shell", line.shell)->required()->check(CLI::IsMember({"bash", "zsh", "fish"}));
  declare.add("man-page", "print haloctl(1)", [&app] { return print_man_page(app); }).group("");
}

}  // namespace

void declare_commands(CLI::App& app, CommandLine& line) {
  app.require_subcommand(1);
  app.fallthrough();  // --json and --url may stand after the command too
  app.set_version_flag("--version", "haloctl " HALOD_VERSION);
  app.footer(exit_status_sentence());
  app.add_option("--url", line.server.url, "the server, over HTTP")
      ->envname("HALOD_URL")
      ->default_str(kDefaultUrl);
  app.add_option("--api-key", line.server.api_key,
                 "for HTTP, when the server asks for one (default: the key in /etc/halod/admin.key, where it "
                 "can be read, for "
                 "a server on this machine)")
      ->envname("HALOD_API_KEY");
  app.add_option("--bus", line.server.bus,
                 "the server on this D-Bus: system, session, or a bus' address (default: HTTP when there is "
                 "a URL or a key, "
                 "else the system bus when halod is on it). chat, complete and metrics always go over HTTP")
      ->type_name("BUS");
  app.add_flag("--json", line.json, "print JSON");
  Declarer declare(app, line);
  declare_views(declare, line);
  declare_jobs(declare, line);
  declare_service(declare, line);
  declare_inspect(declare, line);
  declare_pull(declare, line);
  declare_tune(declare, line);
  declare_migrate(declare, line);
  declare_talk(declare, line);
  declare_generators(declare, app, line);
}

}  // namespace halod::cli
