// haloctl's exit statuses: part of its interface, for scripts.
#pragma once

namespace halod::cli {

enum ExitStatus : int {
  kSuccess = 0,
  kRefused = 1,      ///< the server answered with an error
  kUsage = 2,        ///< wrong command line
  kUnreachable = 3,  ///< no server there, or it broke off
  kNotReady = 4,     ///< the server is there and is loading or restarting
};

}  // namespace halod::cli
