// The control plane as halod wires it, with an engine that the test plays and texts that need no files.
#pragma once

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_future.hpp>
#include <future>
#include <memory>

#include "daemon/control/model_manager.h"
#include "daemon/control/worker_pool.h"
#include "tests/daemon/support/fake_engine.h"
#include "tests/daemon/support/io_thread.h"

namespace halod {

/// Public members are the io thread's once start() was called; use thread().call().
class ControlPlane {
 public:
  /// Every model has the same text, a copy of what `make_text` gives.
  explicit ControlPlane(std::function<Result<TextModel>(const ModelSpec&)> make_text);
  ~ControlPlane();

  /// Quick to notice and to restart; one model, "test-model", of the file test-model.gguf.
  Config config;
  Metrics metrics;
  IoThread thread;
  FakeEngine engine{thread.io().get_executor()};
  WorkerPool workers{2};
  std::unique_ptr<RequestDispatcher> dispatcher;
  std::unique_ptr<ModelManager> models;
  std::unique_ptr<EngineSupervisor> supervisor;

  /// Builds and runs it; on the test's thread.
  void start();
  /// Ends it as halod does; on the test's thread.
  std::future<void> stop(std::chrono::milliseconds timeout);
  /// What the runs of manager and supervisor returned, once stop() is through or they gave up.
  Result<> models_result() { return models_ran_.get(); }
  Result<> engine_result() { return engine_ran_.get(); }

 private:
  std::function<Result<TextModel>(const ModelSpec&)> make_text_;
  std::future<Result<>> models_ran_;
  std::future<Result<>> engine_ran_;
};

/// 256 byte tokens, <|im_end|> (which ends answers), <|im_start|>, then think and tool tags.
Result<TextModel> make_test_text(std::string_view chat_template);

}  // namespace halod
