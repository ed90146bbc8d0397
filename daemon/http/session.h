// One client connection, from accept to close.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/beast/core/tcp_stream.hpp>

#include "daemon/config/config.h"
#include "daemon/control/metrics.h"
#include "daemon/http/router.h"

namespace halod {

/// What the server and one of its sessions tell each other. Thread: the io thread.
struct SessionState {
  boost::beast::tcp_stream stream;
  bool idle = true;       ///< between two requests: may be closed at any time
  bool stopping = false;  ///< the request in progress is the last
};

struct SessionSetup {
  const HttpConfig& config;
  const Router& router;
  Metrics& metrics;
};

/// Serves requests until the client or a timeout ends it. Requests that were sent ahead (pipelined) are
/// answered in order; a client that hangs up while its request is worked on cancels that work. Never throws.
/// `state` and what `setup` refers to outlive it.
boost::asio::awaitable<void> run_session(SessionState& state, SessionSetup setup);

}  // namespace halod
