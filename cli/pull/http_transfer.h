// HTTP GET by libcurl: redirects, TLS, proxies and the rules for credentials are its business.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/error.h"

namespace halod::cli {

/// What came before a body. `status` is that of the last answer, after redirects.
struct HttpHead {
  int status = 0;
  std::optional<uint64_t> range_begin;  ///< of Content-Range: the place in the file of the body's first byte
  std::string next_page;                ///< of Link: the address with rel="next"
  std::optional<uint32_t> retry_after;  ///< seconds
};

struct HttpPage {
  HttpHead head;
  std::string body;
};

/// Keeps its connections for the next call. Thread: one.
class HttpTransfer {
 public:
  /// `token`, when not empty, goes as a bearer token to the hosts asked, and to no host that they redirect
  /// to.
  explicit HttpTransfer(std::string token);
  ~HttpTransfer();
  HttpTransfer(const HttpTransfer&) = delete;
  HttpTransfer& operator=(const HttpTransfer&) = delete;

  /// The whole answer, whatever its status. Errors: kUnavailable when there is none, with what libcurl says;
  /// kInvalidArgument for an address that is none; kCorruptFile when it is longer than `max_bytes`.
  Result<HttpPage> get(const std::string& url, size_t max_bytes);

  /// False ends the transfer.
  using Sink = std::function<bool(const HttpHead& head, std::span<const std::byte> bytes)>;
  /// From `offset` of the file on. The sink sees successful bodies (status below 300); those of other answers
  /// are dropped. Errors: as get(); kUnavailable too when it broke off; kCancelled when the sink ended it.
  Result<HttpHead> download(const std::string& url, uint64_t offset, const Sink& sink);

 private:
  struct Curl;
  std::unique_ptr<Curl> curl_;
};

}  // namespace halod::cli
