// Accepts connections and keeps count of them.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <list>
#include <string>

#include "base/error.h"
#include "daemon/config/config.h"
#include "daemon/config/load_config.h"
#include "daemon/http/session.h"

namespace halod {

/// Thread: the io thread. `setup`'s references outlive this; this outlives its sessions.
class Server {
 public:
  Server(const boost::asio::any_io_executor& executor, SessionSetup setup);

  /// Binds and listens. Errors: kIo naming the address. Returns the port, which is another than asked for
  /// when that was 0.
  Result<uint16_t> listen(const ListenAddress& address);
  /// Takes over a listening TCP socket that somebody else opened. Errors: kIo. Returns where it listens.
  Result<ListenAddress> listen(int listening_socket);
  /// Accepts until stop().
  boost::asio::awaitable<void> run();
  /// No new connections, and none of the idle ones; requests in progress go on and are the last of their
  /// connection.
  void stop();
  /// Waits until all sessions are over; after `timeout` the rest are cut.
  boost::asio::awaitable<void> wait_until_closed(std::chrono::milliseconds timeout);

  size_t n_connections() const { return sessions_.size(); }

 private:
  void start_session(boost::asio::ip::tcp::socket socket);
  void end_session(std::list<SessionState>::iterator session);

  SessionSetup setup_;
  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::steady_timer pause_;       // after a failed accept
  boost::asio::steady_timer all_closed_;  // cancelled when the last session ends
  std::list<SessionState> sessions_;
  bool stopping_ = false;
};

}  // namespace halod
