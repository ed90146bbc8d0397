#include "daemon/control/process_launcher.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <cstring>
#include <string_view>

namespace halod {
namespace {

namespace asio = boost::asio;

constexpr int kEngineFd = 3;

/// The memory is the engine's, and halod can start another engine but not the other way round. It also
/// cancels a lower number that halod's service gave it. Raising one's own needs no privilege.
/// Async-signal-safe.
void prefer_for_oom_kill() {
  constexpr std::string_view kScore = "500";  // of -1000 … 1000, oom_score_adj in proc(5)
  const int fd = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  [[maybe_unused]] const ssize_t written = ::write(fd, kScore.data(), kScore.size());
  ::close(fd);
}

/// The child's way from fork to exec. Only async-signal-safe calls: halod has other threads.
[[noreturn]] void become_engine(const char* binary, int engine_fd, int error_fd, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);  // the parent died before prctl
  ::setpgid(0, 0);
  prefer_for_oom_kill();
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  // Standard output belongs to halod's one line; what the engine prints goes to the log.
  ::dup2(STDERR_FILENO, STDOUT_FILENO);
  // Both descriptors move out of the way first, so that neither is overwritten by the other's final number.
  const int engine = ::fcntl(engine_fd, F_DUPFD, 10);
  const int error = ::fcntl(error_fd, F_DUPFD_CLOEXEC, 10);
  ::dup2(engine, kEngineFd);
  ::dup2(error, kEngineFd + 1);
  ::fcntl(kEngineFd + 1, F_SETFD, FD_CLOEXEC);
  // Asio's sockets are not close-on-exec: without this the engine would hold every client's connection open.
  ::close_range(kEngineFd + 2, ~0U, 0);
  char arg_fd[] = "--fd";
  char arg_number[] = "3";
  char* const argv[] = {const_cast<char*>(binary), arg_fd, arg_number, nullptr};
  ::execv(binary, argv);
  const int code = errno;
  [[maybe_unused]] const ssize_t written = ::write(kEngineFd + 1, &code, sizeof(code));
  ::_exit(127);
}

std::string describe_exit(int status) {
  if (WIFEXITED(status)) return fmt::format("exited with status {}", WEXITSTATUS(status));
  if (WIFSIGNALED(status))
    return fmt::format("was killed by signal {} ({})", WTERMSIG(status), ::strsignal(WTERMSIG(status)));
  return fmt::format("ended with wait status {}", status);
}

class ChildProcess : public EngineProcess {
 public:
  ChildProcess(const asio::any_io_executor& executor, pid_t pid, int pid_fd, int socket_fd)
      : pid_(pid), pid_fd_(executor, pid_fd), socket_(executor, asio::local::stream_protocol(), socket_fd) {}

  ~ChildProcess() override {
    if (reaped_) return;
    kill();
    ::waitpid(pid_, nullptr, 0);
  }

  int64_t pid() const override { return pid_; }
  asio::local::stream_protocol::socket take_socket() override { return std::move(socket_); }
  void kill() override {
    if (!reaped_) ::kill(pid_, SIGKILL);
  }

  asio::awaitable<ProcessEnd> wait_for_exit() override {
    int status = 0;
    pid_t found = 0;
    while ((found = ::waitpid(pid_, &status, WNOHANG)) == 0) {
      co_await pid_fd_.async_wait(asio::posix::stream_descriptor::wait_read,
                                  asio::as_tuple(asio::use_awaitable));
    }
    reaped_ = true;
    if (found != pid_)
      co_return ProcessEnd{.how = fmt::format("cannot be waited for: {}", std::strerror(errno))};
    co_return ProcessEnd{.how = describe_exit(status),
                         .by_sigkill = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL};
  }

 private:
  pid_t pid_;
  bool reaped_ = false;
  asio::posix::stream_descriptor pid_fd_;
  asio::local::stream_protocol::socket socket_;
};

Error system_error(std::string_view what) {
  return {ErrorCode::kIo, fmt::format("halo-engine cannot be started: {}: {}", what, std::strerror(errno))};
}

}  // namespace

ProcessLauncher::ProcessLauncher(const asio::any_io_executor& executor, std::filesystem::path binary)
    : executor_(executor), binary_(std::move(binary)) {}

Result<std::unique_ptr<EngineProcess>> ProcessLauncher::launch() {
  int sockets[2];
  int errors[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) return system_error("socketpair");
  if (::pipe2(errors, O_CLOEXEC) != 0) return system_error("pipe");
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) become_engine(binary_.c_str(), sockets[1], errors[1], parent);
  ::close(sockets[1]);
  ::close(errors[1]);
  int exec_errno = 0;
  // Returns at once: the pipe closes when exec succeeds.
  const ssize_t n_read = pid > 0 ? ::read(errors[0], &exec_errno, sizeof(exec_errno)) : 0;
  ::close(errors[0]);
  if (pid < 0 || n_read > 0) {
    ::close(sockets[0]);
    if (pid < 0) return system_error("fork");
    ::waitpid(pid, nullptr, 0);
    return Error{
        ErrorCode::kNotFound,
        fmt::format("halo-engine cannot be started: {}: {}", binary_.string(), std::strerror(exec_errno)),
        "engine.binary"};
  }
  const int pid_fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (pid_fd < 0) {
    const Error error = system_error("pidfd_open");
    ::close(sockets[0]);
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return error;
  }
  return std::unique_ptr<EngineProcess>(std::make_unique<ChildProcess>(executor_, pid, pid_fd, sockets[0]));
}

Result<std::filesystem::path> find_engine_binary(const std::filesystem::path& configured) {
  std::error_code ec;
  const std::filesystem::path folder = std::filesystem::read_symlink("/proc/self/exe", ec).parent_path();
  std::vector<std::filesystem::path> places;
  if (configured.empty()) {
    places = {folder / "halo-engine", folder / "../libexec/halod/halo-engine",
              folder / "../libexec/halo-engine"};
  } else {
    places = {configured};
  }
  std::string tried;
  for (const auto& place : places) {
    if (::access(place.c_str(), X_OK) == 0) return place.lexically_normal();
    tried += (tried.empty() ? "" : ", ") + place.lexically_normal().string();
  }
  return Error{ErrorCode::kNotFound,
               fmt::format("no halo-engine program at {}; set engine.binary in the configuration", tried),
               "engine.binary"};
}

}  // namespace halod
