#include "cli/pull/http_transfer.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <string_view>

namespace halod::cli {
namespace {

constexpr long kConnectSeconds = 20;
/// A connection that brings nothing for so long is given up, and another one tried.
constexpr long kStalledSeconds = 30;
constexpr long kMaxRedirects = 10;

template <class Number>
std::optional<Number> number_from(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return number;
}

/// `<https://hub/api/…?cursor=x>; rel="next"` → the address.
std::string next_page_of(std::string_view link) {
  while (!link.empty()) {
    const size_t open = link.find('<'), close = link.find('>', open);
    if (open == std::string_view::npos || close == std::string_view::npos) break;
    const size_t end = std::min(link.find(",<", close), link.find(", <", close));
    const std::string_view parameters = link.substr(close, end == std::string_view::npos ? end : end - close);
    if (parameters.find("rel=\"next\"") != std::string_view::npos)
      return std::string(link.substr(open + 1, close - open - 1));
    if (end == std::string_view::npos) break;
    link.remove_prefix(end + 1);
  }
  return {};
}

void take_header(HttpHead& head, std::string_view name, std::string_view value) {
  const auto is = [name](std::string_view other) {
    return std::ranges::equal(
        name, other, [](unsigned char a, unsigned char b) { return std::tolower(a) == std::tolower(b); });
  };
  if (is("content-range") && value.starts_with("bytes "))
    head.range_begin = number_from<uint64_t>(value.substr(6));
  if (is("link")) head.next_page = next_page_of(value);
  if (is("retry-after")) head.retry_after = number_from<uint32_t>(value);
}

}  // namespace

struct HttpTransfer::Curl {
  CURL* handle = nullptr;
  std::string token;
  char message[CURL_ERROR_SIZE] = {};
  HttpHead head;
  const Sink* sink = nullptr;
  bool ended_by_sink = false;

  static size_t on_header(char* data, size_t, size_t n_bytes, void* user) {
    auto& curl = *static_cast<Curl*>(user);
    std::string_view line(data, n_bytes);
    while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
    if (line.starts_with("HTTP/")) {
      curl.head = {};  // of the next answer, after a redirect
      if (const size_t space = line.find(' '); space != std::string_view::npos)
        curl.head.status = number_from<int>(line.substr(space + 1)).value_or(0);
    } else if (const size_t colon = line.find(':'); colon != std::string_view::npos) {
      std::string_view value = line.substr(colon + 1);
      value.remove_prefix(std::min(value.find_first_not_of(" \t"), value.size()));
      take_header(curl.head, line.substr(0, colon), value);
    }
    return n_bytes;
  }

  static size_t on_body(char* data, size_t, size_t n_bytes, void* user) {
    auto& curl = *static_cast<Curl*>(user);
    if ((*curl.sink)(curl.head, std::as_bytes(std::span(data, n_bytes)))) return n_bytes;
    curl.ended_by_sink = true;
    return n_bytes == 0 ? 1 : 0;
  }

  template <class Value>
  void set(CURLoption option, Value value) {
    // Our own options, to a libcurl that has them all: only a lack of memory fails.
    if (curl_easy_setopt(handle, option, value) != CURLE_OK)
      throw ErrorException(
          {ErrorCode::kInternal, fmt::format("libcurl refused option {}", static_cast<int>(option))});
  }

  Result<HttpHead> perform(const std::string& url, uint64_t offset, const Sink& to) {
    curl_easy_reset(handle);
    head = {};
    sink = &to;
    ended_by_sink = false;
    message[0] = '\0';
    set(CURLOPT_URL, url.c_str());
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    // Who began encrypted stays so.
    set(CURLOPT_REDIR_PROTOCOLS_STR, url.starts_with("https:") ? "https" : "http,https");
    set(CURLOPT_FOLLOWLOCATION, 1L);
    set(CURLOPT_MAXREDIRS, kMaxRedirects);
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
    set(CURLOPT_LOW_SPEED_LIMIT, 1L);
    set(CURLOPT_LOW_SPEED_TIME, kStalledSeconds);
    set(CURLOPT_BUFFERSIZE, 512L * 1024);
    set(CURLOPT_USERAGENT, "haloctl/" HALOD_VERSION);
    set(CURLOPT_ERRORBUFFER, &message[0]);
    set(CURLOPT_HEADERFUNCTION, &Curl::on_header);
    set(CURLOPT_HEADERDATA, static_cast<void*>(this));
    set(CURLOPT_WRITEFUNCTION, &Curl::on_body);
    set(CURLOPT_WRITEDATA, static_cast<void*>(this));
    if (!token.empty()) {
      set(CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
      set(CURLOPT_XOAUTH2_BEARER, token.c_str());
    }
    const std::string range = fmt::format("{}-", offset);
    if (offset > 0) set(CURLOPT_RANGE, range.c_str());
    const CURLcode code = curl_easy_perform(handle);
    if (code == CURLE_OK) return head;
    if (ended_by_sink) return Error{ErrorCode::kCancelled, "the transfer was ended"};
    const std::string why = message[0] != '\0' ? message : curl_easy_strerror(code);
    const bool is_address = code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL;
    return Error{is_address ? ErrorCode::kInvalidArgument : ErrorCode::kUnavailable,
                 fmt::format("{}: {}", url, why), "hub"};
  }
};

HttpTransfer::HttpTransfer(std::string token) : curl_(std::make_unique<Curl>()) {
  static const CURLcode kReady = curl_global_init(CURL_GLOBAL_DEFAULT);
  curl_->handle = kReady == CURLE_OK ? curl_easy_init() : nullptr;
  if (!curl_->handle) throw ErrorException({ErrorCode::kInternal, "libcurl does not start"});
  curl_->token = std::move(token);
}

HttpTransfer::~HttpTransfer() { curl_easy_cleanup(curl_->handle); }

Result<HttpPage> HttpTransfer::get(const std::string& url, size_t max_bytes) {
  HttpPage page;
  const auto head = curl_->perform(url, 0, [&](const HttpHead&, std::span<const std::byte> bytes) {
    if (page.body.size() + bytes.size() > max_bytes) return false;
    page.body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return true;
  });
  if (!head && head.error().code == ErrorCode::kCancelled) {
    return Error{ErrorCode::kCorruptFile, fmt::format("{} answers with more than {} bytes", url, max_bytes),
                 "hub"};
  }
  if (!head) return head.error();
  page.head = *head;
  return page;
}

Result<HttpHead> HttpTransfer::download(const std::string& url, uint64_t offset, const Sink& sink) {
  return curl_->perform(url, offset, [&sink](const HttpHead& head, std::span<const std::byte> bytes) {
    return head.status >= 300 || sink(head, bytes);
  });
}

}  // namespace halod::cli
