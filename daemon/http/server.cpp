#include "daemon/http/server.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace halod {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

constexpr auto kAwaitTuple = asio::as_tuple(asio::use_awaitable);
/// Out of file descriptors, most likely: trying again at once would spin.
constexpr std::chrono::milliseconds kAcceptPause{100};

}  // namespace

Server::Server(const asio::any_io_executor& executor, SessionSetup setup)
    : setup_(setup), acceptor_(executor), pause_(executor), all_closed_(executor) {}

Result<uint16_t> Server::listen(const ListenAddress& address) {
  boost::system::error_code ec;
  const tcp::endpoint endpoint(asio::ip::make_address(address.host, ec), address.port);
  if (!ec) acceptor_.open(endpoint.protocol(), ec);
  if (!ec) acceptor_.set_option(tcp::acceptor::reuse_address(true), ec);
  if (!ec) acceptor_.bind(endpoint, ec);
  if (!ec) acceptor_.listen(asio::socket_base::max_listen_connections, ec);
  if (ec) {
    return Error{ErrorCode::kIo,
                 fmt::format("cannot listen on {}:{}: {}", address.host, address.port, ec.message()),
                 "http.listen"};
  }
  return acceptor_.local_endpoint().port();
}

asio::awaitable<void> Server::run() {
  while (!stopping_) {
    auto [ec, socket] = co_await acceptor_.async_accept(kAwaitTuple);
    if (stopping_) break;
    if (ec) {
      spdlog::error("a connection could not be accepted: {}", ec.message());
      pause_.expires_after(kAcceptPause);
      co_await pause_.async_wait(kAwaitTuple);
      continue;
    }
    if (sessions_.size() >= setup_.config.max_connections) {
      spdlog::warn("a connection was closed at once: {} are open, which is the limit", sessions_.size());
      continue;
    }
    start_session(std::move(socket));
  }
}

void Server::start_session(tcp::socket socket) {
  boost::system::error_code ignored;  // a latency matter only
  socket.set_option(tcp::no_delay(true), ignored);
  const auto session =
      sessions_.insert(sessions_.end(), SessionState{.stream = boost::beast::tcp_stream(std::move(socket))});
  setup_.metrics.connections.Set(static_cast<double>(sessions_.size()));
  asio::co_spawn(acceptor_.get_executor(), run_session(*session, setup_),
                 [this, session](const std::exception_ptr&) { end_session(session); });
}

void Server::end_session(std::list<SessionState>::iterator session) {
  sessions_.erase(session);
  setup_.metrics.connections.Set(static_cast<double>(sessions_.size()));
  if (sessions_.empty()) all_closed_.cancel();
}

void Server::stop() {
  stopping_ = true;
  boost::system::error_code ignored;  // it is going away
  acceptor_.close(ignored);
  pause_.cancel();
  for (SessionState& session : sessions_) {
    session.stopping = true;
    if (session.idle) session.stream.cancel();
  }
}

asio::awaitable<void> Server::wait_until_closed(std::chrono::milliseconds timeout) {
  if (sessions_.empty()) co_return;
  all_closed_.expires_after(timeout);
  co_await all_closed_.async_wait(kAwaitTuple);
  if (sessions_.empty()) co_return;
  spdlog::warn("{} connections are cut", sessions_.size());
  for (SessionState& session : sessions_) session.stream.close();
  all_closed_.expires_after(timeout);
  co_await all_closed_.async_wait(kAwaitTuple);
}

}  // namespace halod
