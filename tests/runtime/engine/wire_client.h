// The daemon's end of the socket pair, blocking, for tests.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/engine/wire.h"

namespace halod::testing_support {

class WireClient {
 public:
  /// Takes over `fd`. A read that takes over a minute fails the test instead of hanging it.
  explicit WireClient(int fd) : fd_(fd) {
    const timeval limit{.tv_sec = 60, .tv_usec = 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  }
  ~WireClient() { hang_up(); }
  WireClient(const WireClient&) = delete;
  WireClient& operator=(const WireClient&) = delete;

  void hang_up() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  void send_bytes(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n < 0) return;  // the engine ended; the test sees that in what it reads
      bytes.remove_prefix(static_cast<size_t>(n));
    }
  }
  template <class Message>
  void send(wire::FrameType type, const Message& message) const {
    send_bytes(wire::encode(type, message));
  }

  void submit(GenerationRequest request, uint32_t model_id = 1) const {
    send(wire::FrameType::kSubmit, wire::Submit{model_id, std::move(request)});
  }

  /// The next frame; one of type 0 at the end of the stream.
  wire::Frame read() {
    while (true) {
      auto frame = parser_.next().value();
      if (frame) return std::move(*frame);
      std::array<char, 4096> buffer;
      const ssize_t n = recv(fd_, buffer.data(), buffer.size(), 0);
      if (n <= 0) {
        EXPECT_EQ(n, 0) << "no frame within a minute";
        return {};
      }
      parser_.append({buffer.data(), static_cast<size_t>(n)});
    }
  }
  /// Skips frames of other types, but keeps the tokens and ends that go by.
  wire::Frame read_until(wire::FrameType type) {
    while (true) {
      wire::Frame frame = read();
      remember(frame);
      if (frame.type == type || frame.type == wire::FrameType{}) return frame;
    }
  }
  /// The message of the next frame of this type.
  template <class Message>
  Message expect(wire::FrameType type) {
    const wire::Frame frame = read_until(type);
    EXPECT_EQ(frame.type, type);
    auto message = wire::decode<Message>(frame);
    EXPECT_TRUE(message) << "frame of type " << static_cast<int>(frame.type);
    return message ? *message : Message{};
  }
  const RequestFinished& wait_for_end(uint64_t request_id) {
    while (!finished.contains(request_id)) {
      if (read_until(wire::FrameType::kFinished).type == wire::FrameType{}) break;
    }
    return finished[request_id];
  }

  std::map<uint64_t, std::vector<int32_t>> answers;
  std::map<uint64_t, RequestFinished> finished;
  size_t n_token_frames = 0;

 private:
  void remember(const wire::Frame& frame) {
    if (frame.type == wire::FrameType::kTokens) {
      ++n_token_frames;
      const auto message = wire::decode<wire::Tokens>(frame).value();
      for (const GeneratedToken& token : message.tokens) {
        EXPECT_EQ(token.answer_idx, answers[token.request_id].size());
        answers[token.request_id].push_back(token.token_id);
      }
    }
    if (frame.type == wire::FrameType::kFinished) {
      const auto end = wire::decode<RequestFinished>(frame).value();
      EXPECT_TRUE(finished.emplace(end.request_id, end).second)
          << "request " << end.request_id << " finished twice";
    }
  }

  int fd_;
  wire::FrameParser parser_;
};

}  // namespace halod::testing_support
