#include "daemon/http/server.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>

#include "daemon/control/await_tuple.h"

namespace halod {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

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

Result<ListenAddress> Server::listen(int listening_socket) {
  // Only the socket itself knows whether it is of IPv4 or IPv6, and Asio wants to be told.
  sockaddr_storage name{};
  socklen_t length = sizeof(name);
  boost::system::error_code ec;
  if (::getsockname(listening_socket, reinterpret_cast<sockaddr*>(&name), &length) != 0)
    ec.assign(errno, boost::system::system_category());
  if (!ec) acceptor_.assign(name.ss_family == AF_INET6 ? tcp::v6() : tcp::v4(), listening_socket, ec);
  const tcp::endpoint endpoint = ec ? tcp::endpoint() : acceptor_.local_endpoint(ec);
  if (ec)
    return Error{ErrorCode::kIo, fmt::format("cannot serve on the socket given: {}", ec.message()),
                 "http.listen"};
  return ListenAddress{endpoint.address().to_string(), endpoint.port()};
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
