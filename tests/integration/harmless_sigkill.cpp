// Stands before the C library's kill() and keeps SIGKILL from being sent: to halod, its engine then looks
// like a process that hangs in the kernel, in a driver that does not answer.
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

extern "C" int kill(pid_t pid, int signal) noexcept {
  if (signal == SIGKILL) return 0;
  return static_cast<int>(::syscall(SYS_kill, pid, signal));
}
