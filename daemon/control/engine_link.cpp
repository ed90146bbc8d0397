#include "daemon/control/engine_link.h"

#include <fmt/format.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace halod {

namespace asio = boost::asio;

void EngineLink::send(std::string frame) {
  outgoing_.push_back(std::move(frame));
  if (outgoing_.size() == 1) write_next();
}

void EngineLink::write_next() {
  asio::async_write(socket_, asio::buffer(outgoing_.front()),
                    [self = shared_from_this()](const boost::system::error_code& ec, size_t /*n_bytes*/) {
                      self->outgoing_.pop_front();
                      if (ec) return self->close();
                      if (!self->outgoing_.empty()) self->write_next();
                    });
}

asio::awaitable<Result<wire::Frame>> EngineLink::read() {
  std::array<char, 65536> bytes;
  for (;;) {
    Result<std::optional<wire::Frame>> frame = parser_.next();
    if (!frame) co_return frame.error();
    if (frame->has_value()) co_return std::move(**frame);
    const auto [ec, n_bytes] =
        co_await socket_.async_read_some(asio::buffer(bytes), asio::as_tuple(asio::use_awaitable));
    if (ec) co_return Error{ErrorCode::kIo, fmt::format("the engine's socket closed: {}", ec.message())};
    parser_.append({bytes.data(), n_bytes});
  }
}

void EngineLink::close() {
  boost::system::error_code ignored;  // closing what the other end has closed already is no news
  socket_.close(ignored);
}

}  // namespace halod
