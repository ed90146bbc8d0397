#include "daemon/service/daemon.h"

#include <fmt/format.h>
#include <signal.h>
#include <spdlog/spdlog.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "daemon/config/config_fields.h"
#include "daemon/config/load_config.h"
#include "daemon/http/routes/routes.h"
#include "daemon/service/listen_socket.h"

namespace halod {

namespace asio = boost::asio;

namespace {

/// To write what requests got at the very end, after they were finished or cancelled.
constexpr std::chrono::seconds kCloseTimeout{2};

std::string url_of(const ListenAddress& address) {
  const bool is_v6 = address.host.find(':') != std::string::npos;
  return fmt::format("http://{}{}{}:{}", is_v6 ? "[" : "", address.host, is_v6 ? "]" : "", address.port);
}

}  // namespace

Daemon::Daemon(CommandLine command_line)
    : command_line_(std::move(command_line)),
      config_(command_line_.config),
      launcher_(io_.get_executor(), find_engine_binary(config_.engine.binary).value()),
      workers_(config_.limits.text_threads),
      dispatcher_({.executor = io_.get_executor(),
                   .metrics = metrics_,
                   .max_requests = config_.limits.max_requests,
                   .max_deaths_per_request = config_.engine.max_deaths_per_request}),
      models_({.executor = io_.get_executor(),
               .dispatcher = dispatcher_,
               .workers = workers_,
               .metrics = metrics_,
               .config = config_}),
      engine_({.executor = io_.get_executor(),
               .launcher = launcher_,
               .metrics = metrics_,
               .config = config_.engine,
               .events = models_}),
      notifier_({.executor = io_.get_executor(), .models = models_, .engine = engine_}),
      clock_watch_(io_.get_executor()),
      server_(io_.get_executor(), {.config = config_.http, .router = router_, .metrics = metrics_}),
      dbus_({.executor = io_.get_executor(),
             .models = models_,
             .service = *this,
             .machine = machine_,
             .workers = workers_,
             .metrics = metrics_,
             .config = config_,
             .version = HALOD_VERSION}),
      power_profile_({.executor = io_.get_executor(),
                      .workers = workers_,
                      .bus_address = config_.dbus.address,
                      .changed = [this] { dbus_.power_changed(); }}),
      power_hold_({.executor = io_.get_executor(), .config = config_.power, .holder = power_profile_}),
      end_signals_(io_, SIGTERM, SIGINT),
      reload_signals_(io_, SIGHUP) {
  models_.set_engine(engine_);
  models_.add_observer(*this);
  models_.add_observer(notifier_);
  models_.add_observer(dbus_);
  models_.add_observer(power_hold_);
  add_routes(router_, {.models = models_,
                       .workers = workers_,
                       .metrics = metrics_,
                       .service = *this,
                       .machine = machine_,
                       .config = config_});
}

PowerStatus Daemon::power() const {
  PowerStatus status = power_profile_.status();
  status.configured = config_.power.hold_profile;
  return status;
}

int Daemon::run() {
  url_ = url_of(listen());
  spdlog::info("{} answers /health with 503 until the model is loaded", url_);
  asio::co_spawn(io_, server_.run(), asio::detached);
  asio::co_spawn(io_, run_engine(), asio::detached);
  asio::co_spawn(io_, run_models(), asio::detached);
  asio::co_spawn(io_, dbus_.run(url_), asio::detached);
  wait_for_end();
  wait_for_reload();
  notifier_.start();
  clock_watch_.start();
  io_.run();
  return exit_status_;
}

ListenAddress Daemon::listen() {
  if (const std::optional<int> inherited = take_inherited_http_socket().value()) {
    spdlog::info("serving on the socket that the service manager opened, instead of http.listen");
    return server_.listen(*inherited).value();
  }
  ListenAddress address = parse_listen_address(config_.http.listen).value();
  address.port = server_.listen(address).value();
  return address;
}

/// The one line on standard output, once.
void Daemon::on_readiness(const Readiness& readiness) {
  if (!readiness.ready() || std::exchange(announced_, true)) return;
  std::printf("listening on %s\n", url_.c_str());
  std::fflush(stdout);
}

asio::awaitable<void> Daemon::run_engine() {
  const Result<> result = co_await engine_.run();
  if (!result) co_await fail(result.error());
}

asio::awaitable<void> Daemon::run_models() {
  const Result<> result = co_await models_.run();
  if (!result) co_await fail(result.error());
}

asio::awaitable<void> Daemon::fail(Error error) {
  if (stopping_) co_return;
  spdlog::critical("cannot serve: {}", error.message);
  exit_status_ = 1;
  co_await stop("cannot serve: " + error.message);
}

void Daemon::wait_for_end() {
  end_signals_.async_wait([this](const boost::system::error_code& ec, int signal) {
    if (ec) return;
    if (stopping_) std::_Exit(1);  // asked twice: at once; the kernel ends the engine with us
    spdlog::info("{}: stopping; again to stop at once", ::strsignal(signal));
    asio::co_spawn(io_, stop(fmt::format("stopping, {} unfinished", models_.n_unfinished())), asio::detached);
    wait_for_end();
  });
}

void Daemon::wait_for_reload() {
  reload_signals_.async_wait([this](const boost::system::error_code& ec, int) {
    if (ec) return;
    (void)reload();  // it has logged what is wrong
    wait_for_reload();
  });
}

asio::awaitable<void> Daemon::stop(std::string why) {
  if (std::exchange(stopping_, true)) co_return;
  notifier_.stopping(config_.limits.shutdown_timeout, std::move(why));
  server_.stop();
  co_await models_.stop(config_.limits.shutdown_timeout);
  power_hold_.stop();
  co_await server_.wait_until_closed(kCloseTimeout);
  dbus_.stop();
  io_.stop();
}

Result<> Daemon::reload() {
  notifier_.reload_begins();
  const Result<> result = read_config_again();
  notifier_.reload_ended(result);
  return result;
}

Result<> Daemon::read_config_again() {
  Result<Config> next = command_line_.read_config();
  if (!next) {
    spdlog::error("the configuration is not changed: {}", next.error().message);
    return next.error();
  }
  for (const ConfigField& field : config_fields()) {
    if (!field.needs_restart || format_value(field, *next) == format_value(field, config_)) continue;
    spdlog::warn("{} becomes {} only when halod is restarted", field.key, format_value(field, *next));
    copy_value(field, config_, *next);
  }
  for (const std::string& warning : next->warnings) spdlog::warn("{}", warning);
  config_ = std::move(*next);
  spdlog::info("the configuration was read again");
  if (auto set = set_log_level(config_.log.level); !set) return set;
  models_.config_changed();
  power_hold_.config_changed();
  return {};
}

Result<> Daemon::set_log_level(const std::string& level) {
  if (auto set = halod::set_log_level(level); !set) return set;
  config_.log.level = level;
  return {};
}

}  // namespace halod
