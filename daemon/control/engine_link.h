// One connection to an engine: frames in, frames out.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <deque>
#include <memory>
#include <string>

#include "base/error.h"
#include "runtime/engine/wire.h"

namespace halod {

/// Thread: the io thread. Shared because a write in flight keeps it.
class EngineLink : public std::enable_shared_from_this<EngineLink> {
 public:
  explicit EngineLink(boost::asio::local::stream_protocol::socket socket) : socket_(std::move(socket)) {}

  /// Queues a frame; never blocks. A failed write closes the link, which read() then reports.
  void send(std::string frame);
  /// The next frame. Errors: kIo when the engine is gone; kInternal when it speaks another protocol.
  boost::asio::awaitable<Result<wire::Frame>> read();
  void close();

 private:
  void write_next();

  boost::asio::local::stream_protocol::socket socket_;
  wire::FrameParser parser_;
  std::deque<std::string> outgoing_;
};

}  // namespace halod
