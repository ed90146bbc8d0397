// Counts the instructions that a function executes, by stepping a child process through it: exact and the
// same on every run, whatever else the machine does, and for every instruction set that the machine has.
// (Callgrind counts too, but Valgrind 3.19 to 3.24 do not know AVX-512.)
#pragma once

#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <functional>
#include <optional>

namespace halod::test {

/// Nothing where this process may not trace a child. Includes some hundred of raise()'s own, which the
/// difference of two counts leaves out.
inline std::optional<int64_t> count_instructions(const std::function<void()>& function) {
  const pid_t child = fork();
  if (child < 0) return std::nullopt;
  if (child == 0) {
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(1);
    raise(SIGSTOP);
    function();
    raise(SIGSTOP);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (!WIFSTOPPED(status)) return std::nullopt;
  int64_t n_steps = 0;
  while (ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr) == 0 && waitpid(child, &status, 0) == child &&
         WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP) {
    ++n_steps;
  }
  const bool is_whole = WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP;
  if (!WIFEXITED(status)) {
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
  }
  return is_whole ? std::optional(n_steps) : std::nullopt;
}

}  // namespace halod::test
