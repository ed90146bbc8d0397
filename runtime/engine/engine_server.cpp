#include "runtime/engine/engine_server.h"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

namespace halod {

using wire::FrameType;

EngineServer::EngineServer(int socket_fd, ModelFactory factory)
    : socket_fd_(socket_fd), engine_thread_(std::move(factory), outbox_) {}

EngineServer::~EngineServer() { close(socket_fd_); }

EngineExit EngineServer::run() {
  outbox_.push(wire::encode(FrameType::kHello, wire::Hello{HALOD_VERSION, getpid()}));
  while (true) {
    std::array<pollfd, 2> polled{{{.fd = socket_fd_, .events = POLLRDHUP, .revents = 0},
                                  {.fd = outbox_.wake_fd(), .events = POLLIN, .revents = 0}}};
    if (engine_thread_.n_queued_bytes() < kMaxInboxBytes) polled[0].events |= POLLIN;
    if (!outgoing_.empty()) polled[0].events |= POLLOUT;
    if (poll(polled.data(), polled.size(), -1) < 0) {
      if (errno == EINTR) continue;
      throw std::system_error(errno, std::generic_category(), "poll");
    }
    outbox_.clear_wake();
    if (!write_some()) return EngineExit::kParentGone;
    if (engine_thread_.failed()) return EngineExit::kEngineFailed;
    if ((polled[0].revents & POLLIN) != 0) {
      if (const auto exit = read_some()) return *exit;
    } else if ((polled[0].revents & (POLLHUP | POLLRDHUP | POLLERR)) != 0) {
      return EngineExit::kParentGone;
    }
  }
}

std::optional<EngineExit> EngineServer::read_some() {
  std::array<char, 65536> buffer;
  const ssize_t n_read = recv(socket_fd_, buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (n_read == 0) return EngineExit::kParentGone;
  if (n_read < 0) {
    if (errno == EAGAIN || errno == EINTR) return std::nullopt;
    return EngineExit::kParentGone;
  }
  parser_.append({buffer.data(), static_cast<size_t>(n_read)});
  return handle_frames();
}

std::optional<EngineExit> EngineServer::handle_frames() {
  while (true) {
    auto frame = parser_.next();
    if (frame && !*frame) return std::nullopt;
    const Result<> handled = frame ? handle(**frame) : Result<>(frame.error());
    if (shutdown_requested_) return EngineExit::kParentGone;
    if (!handled) {
      spdlog::critical("{}", handled.error().message);
      return EngineExit::kProtocolError;
    }
  }
}

template <class Message>
Result<> EngineServer::post(const wire::Frame& frame) {
  auto message = wire::decode<Message>(frame);
  if (!message) return message.error();
  engine_thread_.post(std::move(*message), wire::kHeaderBytes + frame.payload.size());
  return {};
}

Result<> EngineServer::handle(const wire::Frame& frame) {
  switch (frame.type) {
    case FrameType::kLoad:
      return post<wire::LoadModel>(frame);
    case FrameType::kSubmit:
      return post<wire::Submit>(frame);
    case FrameType::kCancel:
      return post<wire::Cancel>(frame);
    case FrameType::kPing:
      return post<wire::Ping>(frame);
    case FrameType::kUnload:
      return post<wire::Unload>(frame);
    case FrameType::kShutdown:
      shutdown_requested_ = true;
      return {};
    default:
      break;
  }
  return wire::decode_error(frame.type, "an engine does not take frames of this type");
}

bool EngineServer::write_some() {
  while (true) {
    if (n_written_ == outgoing_.size()) {
      outgoing_ = outbox_.take();
      n_written_ = 0;
      if (outgoing_.empty()) return true;
    }
    const ssize_t n = send(socket_fd_, outgoing_.data() + n_written_, outgoing_.size() - n_written_,
                           MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN || errno == EINTR;
    n_written_ += static_cast<size_t>(n);
  }
}

}  // namespace halod
