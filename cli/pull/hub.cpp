#include "cli/pull/hub.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/url/encode.hpp>
#include <boost/url/rfc/unreserved_chars.hpp>

#include "cli/json_fields.h"
#include "cli/pull/patience.h"

namespace halod::cli {
namespace {

namespace json = boost::json;

constexpr size_t kMaxAnswerBytes = size_t{64} << 20;
constexpr int kMaxPages = 1000;

std::string encoded(std::string_view text, bool keeps_slashes) {
  const auto kept = boost::urls::grammar::lut_chars(boost::urls::unreserved_chars) +
                    boost::urls::grammar::lut_chars(keeps_slashes ? "/" : "");
  return boost::urls::encode(text, kept);
}

/// The hub is not trusted with the file system: its paths stay below the folder that they are written to.
bool is_safe_path(std::string_view path) {
  if (path.empty() || path.size() > 1024 || path.find('\\') != std::string_view::npos) return false;
  if (std::ranges::any_of(path, [](unsigned char c) { return c < 0x20 || c == 0x7f; })) return false;
  while (true) {
    const size_t slash = path.find('/');
    const std::string_view name = path.substr(0, slash);
    if (name.empty() || name == "." || name == "..") return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

bool is_hex(std::string_view text, size_t n_digits) {
  return text.size() == n_digits && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Error no_such_answer(const std::string& url, const std::string& what) {
  return {ErrorCode::kCorruptFile,
          fmt::format("{} does not answer as a Hugging Face hub does: {}; is --hub right?", url, what),
          "hub"};
}

Result<HubFile> file_from(const json::value& entry, const std::string& url) {
  HubFile file{.path = text_of(entry, "path"), .bytes = count_of(entry, "size")};
  if (!is_safe_path(file.path))
    return no_such_answer(url, fmt::format("it lists a file with the path '{}'", file.path.substr(0, 100)));
  if (const json::value* large = find_member(entry, "lfs")) {
    file.sha256 = text_of(*large, "oid");
    if (!is_hex(file.sha256, 64))
      return no_such_answer(url,
                            fmt::format("{} has the SHA-256 '{}'", file.path, file.sha256.substr(0, 100)));
    if (find_member(*large, "size")) file.bytes = count_of(*large, "size");
  } else {
    file.git_sha1 = text_of(entry, "oid");
    if (!is_hex(file.git_sha1, 40))
      return no_such_answer(url, fmt::format("{} has the id '{}'", file.path, file.git_sha1.substr(0, 100)));
  }
  return file;
}

}  // namespace

bool is_passing(int status) { return status == 408 || status == 429 || status >= 500; }

Error hub_refusal(int status, const std::string& url, const std::string& repository) {
  if (status == 401 || status == 403) {
    return {ErrorCode::kInvalidArgument,
            fmt::format(
                "the hub refuses {} (HTTP {}): it does not exist, or it needs a token of somebody who has "
                "accepted its terms; give one with --token-file or HF_TOKEN",
                repository, status),
            "model"};
  }
  if (status == 404) {
    return {ErrorCode::kNotFound, fmt::format("the hub has no {} (HTTP 404 for {})", repository, url),
            "model"};
  }
  return {is_passing(status) ? ErrorCode::kUnavailable : ErrorCode::kInvalidArgument,
          fmt::format("{} answered HTTP {}", url, status), "hub"};
}

Result<HttpPage> Hub::ask(const std::string& url, const std::string& repository) {
  Patience patience(n_attempts_);
  while (true) {
    auto page = transfer_.get(url, kMaxAnswerBytes);
    if (page && page->head.status < 300) return page;
    const Error error = page ? hub_refusal(page->head.status, url, repository) : page.error();
    const auto retry_after = page ? page->head.retry_after : std::nullopt;
    if (error.code != ErrorCode::kUnavailable || !patience.wait(error, retry_after)) return error;
  }
}

Result<HubRepository> Hub::repository(const std::string& name, const std::string& revision) {
  HubRepository found{.name = name, .commit = {}, .files = {}};
  const std::string state_url =
      fmt::format("{}/api/models/{}/revision/{}", url_, name, encoded(revision, false));
  const auto state = ask(state_url, fmt::format("{} at '{}'", name, revision));
  if (!state) return state.error();
  found.commit = text_of(parse_or_null(state->body), "sha");
  if (!is_hex(found.commit, 40)) return no_such_answer(state_url, "there is no commit in it");

  std::string url = fmt::format("{}/api/models/{}/tree/{}?recursive=true", url_, name, found.commit);
  for (int i = 0; i < kMaxPages && !url.empty(); ++i) {
    const auto page = ask(url, name);
    if (!page) return page.error();
    const json::value entries = parse_or_null(page->body);
    if (!entries.is_array()) return no_such_answer(url, "it is no list of files");
    for (const json::value& entry : entries.get_array()) {
      if (text_of(entry, "type") != "file") continue;
      auto file = file_from(entry, url);
      if (!file) return file.error();
      found.files.push_back(std::move(*file));
    }
    url = page->head.next_page;
  }
  return found;
}

std::string Hub::file_url(const HubRepository& repository, const HubFile& file) const {
  return fmt::format("{}/{}/resolve/{}/{}", url_, repository.name, repository.commit,
                     encoded(file.path, true));
}

}  // namespace halod::cli
