// halo-engine's side of the socket pair.
#pragma once

#include <optional>
#include <string>

#include "base/error.h"
#include "runtime/engine/engine_thread.h"
#include "runtime/engine/frame_outbox.h"
#include "runtime/engine/model_loading.h"
#include "runtime/engine/wire.h"

namespace halod {

/// Exit codes of halo-engine, which halod's log explains to people.
enum class EngineExit : int {
  kParentGone = 0,     ///< end of file on the socket, or kShutdown
  kEngineFailed = 3,   ///< device failure or an exception on the engine thread
  kProtocolError = 4,  ///< the peer speaks another protocol
};

/// Speaks the protocol of wire.h over a connected stream socket, and drives an EngineThread. Buffers are
/// bounded in both directions: frames are not read while commands of kMaxInboxBytes wait, and a peer that
/// does not read its answers ends the engine.
class EngineServer {
 public:
  static constexpr size_t kMaxInboxBytes = size_t{128} << 20;

  /// Starts the engine thread. Takes over `socket_fd`.
  EngineServer(int socket_fd, ModelFactory factory);
  /// Waits for the step that is going on. A process that is to end at once calls std::_Exit after run()
  /// instead.
  ~EngineServer();
  EngineServer(const EngineServer&) = delete;
  EngineServer& operator=(const EngineServer&) = delete;

  /// Serves until there is a reason to end. Call once; this is the socket thread.
  EngineExit run();

 private:
  std::optional<EngineExit> read_some();
  std::optional<EngineExit> handle_frames();
  Result<> handle(const wire::Frame& frame);
  template <class Message>
  Result<> post(const wire::Frame& frame);
  /// Writes what the socket takes. False when the peer is gone.
  bool write_some();

  const int socket_fd_;
  FrameOutbox outbox_;
  wire::FrameParser parser_;
  std::string outgoing_;
  size_t n_written_ = 0;  // of outgoing_
  bool shutdown_requested_ = false;
  EngineThread engine_thread_;  // last: it uses the outbox
};

}  // namespace halod
