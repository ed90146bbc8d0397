// Starts halo-engine as a child process.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <filesystem>

#include "daemon/control/engine_launcher.h"

namespace halod {

/// The child gets `--fd 3` (its end of a socket pair), standard error, and nothing else of ours; it has a
/// process group of its own, so that Ctrl-C reaches halod alone, and is killed when the thread that started
/// it ends. Thread: the io thread.
class ProcessLauncher : public EngineLauncher {
 public:
  ProcessLauncher(const boost::asio::any_io_executor& executor, std::filesystem::path binary);
  Result<std::unique_ptr<EngineProcess>> launch() override;

 private:
  boost::asio::any_io_executor executor_;
  std::filesystem::path binary_;
};

/// `configured` when set; else halo-engine beside this program, then in ../libexec/halod and ../libexec.
/// Errors: kNotFound listing the places.
Result<std::filesystem::path> find_engine_binary(const std::filesystem::path& configured);

}  // namespace halod
