// halod: the wiring. What each part does stands in its own header.
#include <fmt/format.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <exception>
#include <utility>

#include "base/log.h"
#include "daemon/command_line.h"
#include "daemon/config/load_config.h"
#include "daemon/control/engine_supervisor.h"
#include "daemon/control/process_launcher.h"
#include "daemon/control/text_model.h"
#include "daemon/http/routes/routes.h"
#include "daemon/http/server.h"

namespace halod {
namespace {

namespace asio = boost::asio;

/// To write what requests got at the very end, after they were finished or cancelled.
constexpr std::chrono::seconds kCloseTimeout{2};

/// A thousand connections need more descriptors than the usual soft limit gives.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

std::string url_of(const ListenAddress& address, uint16_t port) {
  const bool is_v6 = address.host.find(':') != std::string::npos;
  return fmt::format("http://{}{}{}:{}", is_v6 ? "[" : "", address.host, is_v6 ? "]" : "", port);
}

wire::LoadModel load_message(const std::string& model_file, const EngineConfig& config) {
  return {.path = model_file,
          .backend = config.backend,
          .n_threads = config.n_threads,
          .context_length = config.context_length,
          .max_sequences = config.max_sequences,
          .kv_cache_tokens = config.kv_cache_tokens,
          .prefill_chunk = config.prefill_chunk};
}

/// Everything that runs on the io thread, in order of who needs whom: later members use earlier ones.
class Daemon {
 public:
  Daemon(const Config& config, const std::filesystem::path& model_file)
      : config_(config),
        text_(TextModel::load(model_file, config.model.chat_template_file).value()),
        model_{.name = config.model.name.empty() ? model_name_from(model_file) : config.model.name,
               .text = text_,
               .defaults = config_.defaults,
               .created = std::time(nullptr)},
        launcher_(io_.get_executor(), find_engine_binary(config.engine.binary).value()),
        supervisor_({.executor = io_.get_executor(),
                     .launcher = launcher_,
                     .metrics = metrics_,
                     .config = config.engine,
                     .max_requests = config.limits.max_requests,
                     .model = load_message(std::filesystem::absolute(model_file), config.engine),
                     .on_readiness = [this](const Readiness& readiness) { announce(readiness); }}),
        workers_(config.limits.text_threads),
        server_(io_.get_executor(), {.config = config_.http, .router = router_, .metrics = metrics_}),
        signals_(io_, SIGTERM, SIGINT) {
    add_routes(router_,
               {.supervisor = supervisor_, .workers = workers_, .metrics = metrics_, .model = model_});
  }

  /// Serves until a signal, or until the engine turns out to be hopeless. Returns the exit status.
  int run() {
    const ListenAddress address = parse_listen_address(config_.http.listen).value();
    url_ = url_of(address, server_.listen(address).value());
    spdlog::info("{} answers /health with 503 until the model is loaded", url_);
    asio::co_spawn(io_, server_.run(), asio::detached);
    asio::co_spawn(io_, supervise(), asio::detached);
    wait_for_signal();
    io_.run();
    return exit_status_;
  }

 private:
  /// The one line on standard output, once.
  void announce(const Readiness& readiness) {
    if (!readiness.ready() || announced_) return;
    announced_ = true;
    std::printf("listening on %s\n", url_.c_str());
    std::fflush(stdout);
  }

  asio::awaitable<void> supervise() {
    const Result<> result = co_await supervisor_.run();
    if (result) co_return;
    spdlog::critical("cannot serve: {}", result.error().message);
    exit_status_ = 1;
    co_await stop();
  }

  void wait_for_signal() {
    signals_.async_wait([this](const boost::system::error_code& ec, int signal) {
      if (ec) return;
      if (stopping_) std::_Exit(1);  // asked twice: at once; the kernel ends the engine with us
      spdlog::info("{}: stopping; again to stop at once", ::strsignal(signal));
      asio::co_spawn(io_, stop(), asio::detached);
      wait_for_signal();
    });
  }

  asio::awaitable<void> stop() {
    if (std::exchange(stopping_, true)) co_return;
    server_.stop();
    co_await supervisor_.shutdown(config_.limits.shutdown_timeout);
    co_await server_.wait_until_closed(kCloseTimeout);
    io_.stop();
  }

  Config config_;
  asio::io_context io_{1};
  Metrics metrics_;
  TextModel text_;
  ServedModel model_;
  ProcessLauncher launcher_;
  EngineSupervisor supervisor_;
  WorkerPool workers_;
  Router router_;
  Server server_;
  asio::signal_set signals_;
  std::string url_;
  bool announced_ = false;
  bool stopping_ = false;
  int exit_status_ = 0;
};

int run(int argc, char** argv) {
  auto outcome = read_command_line(argc, argv).value();
  if (const int* status = std::get_if<int>(&outcome)) return *status;
  const auto& command_line = std::get<CommandLine>(outcome);
  if (command_line.check_config) {
    const std::string file = command_line.config_file.string();
    std::printf("%s: the configuration is right\n", file.empty() ? "defaults" : file.c_str());
    return 0;
  }
  set_up_logging("halod", command_line.config.log.level).value();
  ::signal(SIGPIPE, SIG_IGN);
  raise_descriptor_limit();
  const std::string& configured = command_line.config.model.path;
  const std::filesystem::path model_file =
      configured.empty() ? find_demo_model().value() : std::filesystem::path(configured);
  return Daemon(command_line.config, model_file).run();
}

}  // namespace
}  // namespace halod

int main(int argc, char** argv) {
  try {
    return halod::run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "halod: %s\n", error.what());
    return 1;
  }
}
