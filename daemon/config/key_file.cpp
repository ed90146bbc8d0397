#include "daemon/config/key_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace halod {
namespace {

constexpr std::string_view kCredentials = "$CREDENTIALS_DIRECTORY/";
constexpr std::string_view kBlanks = " \t\r";
/// Thousands of keys; more is another file by mistake.
constexpr size_t kMaxBytes = 1 << 20;

/// One that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int descriptor) : descriptor_(descriptor) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

std::string_view without_blanks(std::string_view text) {
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

/// What counts of a line.
std::string_view key_in(std::string_view line) {
  for (size_t i = 0; i < line.size(); ++i) {
    const bool begins_comment =
        line[i] == '#' && (i == 0 || kBlanks.find(line[i - 1]) != std::string_view::npos);
    if (begins_comment) return without_blanks(line.substr(0, i));
  }
  return without_blanks(line);
}

Result<std::string> place_of(std::string_view key, const std::string& path) {
  if (!path.starts_with(kCredentials)) return path;
  const char* folder = std::getenv("CREDENTIALS_DIRECTORY");  // NOLINT(concurrency-mt-unsafe): nobody sets it
  if (folder && *folder)
    return fmt::format("{}/{}", folder, std::string_view(path).substr(kCredentials.size()));
  return Error{ErrorCode::kNotFound,
               fmt::format("{} is {}, and there is no CREDENTIALS_DIRECTORY in the environment: systemd sets "
                           "it for a service that "
                           "has LoadCredential= (docs/systemd.md)",
                           key, path),
               std::string(key)};
}

struct KeyFile {
  std::string path;
  std::string text;
  unsigned mode = 0;
};

Result<KeyFile> read_file(std::string_view key, const std::string& path) {
  const auto refused = [&](ErrorCode code, std::string_view why) {
    return Error{code, fmt::format("{}: {} cannot be read by user {}: {}", key, path, ::geteuid(), why),
                 std::string(key)};
  };
  // A pipe without a writer must not keep halod.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0)
    return refused(errno == ENOENT ? ErrorCode::kNotFound : ErrorCode::kIo, std::strerror(errno));
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return refused(ErrorCode::kIo, std::strerror(errno));
  if (!S_ISREG(status.st_mode)) return refused(ErrorCode::kIo, "it is no regular file");
  KeyFile found{.path = path, .text = std::string(kMaxBytes + 1, '\0'), .mode = status.st_mode & 07777U};
  size_t n_bytes = 0;
  while (n_bytes < found.text.size()) {
    const ssize_t n = ::read(file.get(), found.text.data() + n_bytes, found.text.size() - n_bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return refused(ErrorCode::kIo, std::strerror(errno));
    if (n == 0) break;
    n_bytes += static_cast<size_t>(n);
  }
  if (n_bytes > kMaxBytes)
    return refused(ErrorCode::kIo,
                   fmt::format("it has {} bytes, and a file of keys {} at most", status.st_size, kMaxBytes));
  found.text.resize(n_bytes);
  return found;
}

Result<KeyFile> open_keys(std::string_view key, const std::string& file_name) {
  const Result<std::string> path = place_of(key, file_name);
  return path ? read_file(key, *path) : Result<KeyFile>(path.error());
}

Result<> add_keys(std::string_view key, const std::string& file_name, UnreadCredential unread_credential,
                  std::vector<std::string>& keys, std::vector<std::string>& warnings) {
  if (file_name.empty()) return {};
  const Result<KeyFile> file = open_keys(key, file_name);
  if (!file && unread_credential == UnreadCredential::kIsAWarning && file_name.starts_with(kCredentials)) {
    warnings.push_back(
        fmt::format("{}: not checked, a credential is there for the service alone", file.error().message));
    return {};
  }
  if (!file) return file.error();
  Result<std::vector<std::string>> found = parse_keys(file->text, file->path);
  if (!found)
    return Error{found.error().code, fmt::format("{}: {}", key, found.error().message), std::string(key)};
  if ((file->mode & S_IROTH) != 0) {
    warnings.push_back(
        fmt::format("{}: every user of this machine can read the keys in {} (mode {:04o}): chmod o= {}", key,
                    file->path, file->mode, file->path));
  }
  keys.insert(keys.end(), found->begin(), found->end());
  return {};
}

}  // namespace

Result<std::vector<std::string>> parse_keys(std::string_view text, std::string_view file_name) {
  std::vector<std::string> keys;
  for (size_t line_number = 1; !text.empty(); ++line_number) {
    const std::string_view key = key_in(text.substr(0, text.find('\n')));
    text.remove_prefix(
        std::min(text.size(), text.find('\n') == std::string_view::npos ? text.size() : text.find('\n') + 1));
    const auto wrong = std::ranges::find_if(key, [](char c) { return c <= ' ' || c > '~'; });
    if (wrong != key.end()) {
      return Error{
          ErrorCode::kInvalidArgument,
          fmt::format("{}:{}: the key has {} at its byte {}; a key is one word of printable ASCII, and has a "
                      "line of its own",
                      file_name, line_number,
                      *wrong == ' ' || *wrong == '\t' ? "a blank" : "a byte that no HTTP header carries",
                      wrong - key.begin() + 1)};
    }
    if (!key.empty()) keys.emplace_back(key);
  }
  if (keys.empty()) {
    return Error{
        ErrorCode::kInvalidArgument,
        fmt::format("{} has no key: put one in, a line each, or take the file out of the configuration",
                    file_name)};
  }
  return keys;
}

Result<> read_key_files(Config& config, UnreadCredential unread_credential) {
  HttpConfig& http = config.http;
  if (auto added = add_keys("http.api_keys_file", http.api_keys_file, unread_credential, http.api_keys,
                            config.warnings);
      !added)
    return added;
  return add_keys("http.admin_keys_file", http.admin_keys_file, unread_credential, http.admin_keys,
                  config.warnings);
}

}  // namespace halod
