#include "tests/daemon/support/control_plane.h"

#include <utility>

#include "tests/runtime/text/tiny_vocabulary.h"

namespace halod {

namespace asio = boost::asio;
using namespace std::chrono_literals;

ControlPlane::ControlPlane(std::function<Result<TextModel>(const ModelSpec&)> make_text)
    : make_text_(std::move(make_text)) {
  config.engine.heartbeat_interval = 10ms;
  config.engine.restart_delay_min = 1ms;
  config.engine.restart_delay_max = 4ms;
  config.models.list.push_back({.path = "test-model.gguf"});
}

ControlPlane::~ControlPlane() {
  workers.join();
  thread.stop();
}

void ControlPlane::start() {
  thread.call([this] {
    const auto executor = thread.io().get_executor();
    dispatcher = std::make_unique<RequestDispatcher>(
        RequestDispatcher::Setup{.executor = executor,
                                 .metrics = metrics,
                                 .max_requests = config.limits.max_requests,
                                 .max_deaths_per_request = config.engine.max_deaths_per_request});
    models = std::make_unique<ModelManager>(ModelManager::Setup{.executor = executor,
                                                                .dispatcher = *dispatcher,
                                                                .workers = workers,
                                                                .metrics = metrics,
                                                                .config = config,
                                                                .load_text = make_text_});
    supervisor = std::make_unique<EngineSupervisor>(EngineSupervisor::Setup{.executor = executor,
                                                                            .launcher = engine,
                                                                            .metrics = metrics,
                                                                            .config = config.engine,
                                                                            .events = *models});
    models->set_engine(*supervisor);
  });
  models_ran_ = asio::co_spawn(thread.io(), models->run(), asio::use_future);
  engine_ran_ = asio::co_spawn(thread.io(), supervisor->run(), asio::use_future);
}

std::future<void> ControlPlane::stop(std::chrono::milliseconds timeout) {
  return asio::co_spawn(thread.io(), models->stop(timeout), asio::use_future);
}

Result<TextModel> make_test_text(std::string_view chat_template) {
  TokenizerData data =
      make_tiny_vocabulary({.control = {"<|im_end|>", "<|im_start|>"},
                            .user_defined = {"<think>", "</think>", "<tool_call>", "</tool_call>"}});
  data.eos = TokenId{256};
  data.end_of_generation = {TokenId{256}};
  return TextModel::create(data, chat_template);
}

}  // namespace halod
