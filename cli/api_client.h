// A blocking HTTP client for halod's API.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace halod::cli {

struct ApiReply {
  unsigned status = 0;
  std::string body;

  bool ok() const { return status >= 200 && status < 300; }
};

struct Server {
  std::string url;      ///< "http://127.0.0.1:8000"; anything after the port is ignored
  std::string api_key;  ///< empty = none
};

struct ServerAddress {
  std::string host;  ///< a name or an address, without brackets
  std::string port;
};
/// Errors: kInvalidArgument for anything but http://HOST[:PORT]. Thread: any.
Result<ServerAddress> parse_server_url(std::string_view url);

/// One connection per call. Gives up after 10 s without a connection and after 60 s without a whole answer,
/// which a stream is not held to. Thread: any.
class ApiClient {
 public:
  explicit ApiClient(Server server) : server_(std::move(server)) {}

  /// Errors: kInvalidArgument (the URL), kUnavailable (nobody there, or the connection broke) with what to
  /// check.
  Result<ApiReply> get(std::string_view path) const;
  Result<ApiReply> post(std::string_view path, std::string_view json) const;
  Result<ApiReply> put(std::string_view path, std::string_view json) const;
  Result<ApiReply> remove(std::string_view path) const;
  /// As post, and `on_event` gets the data of each server-sent event as it arrives ("[DONE]" left out). The
  /// body is that of an error only.
  Result<ApiReply> post_streaming(std::string_view path, std::string_view json,
                                  const std::function<void(std::string_view)>& on_event) const;

  const std::string& url() const { return server_.url; }

 private:
  struct Call;
  Result<ApiReply> run(const Call& call) const;

  Server server_;
};

/// Takes server-sent events out of a byte stream. Thread: one.
class EventSplitter {
 public:
  /// Calls `on_event` for each event that `bytes` completes.
  void push(std::string_view bytes, const std::function<void(std::string_view)>& on_event);

 private:
  std::string buffer_;
};

}  // namespace halod::cli
