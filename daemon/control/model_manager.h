// Which models are in memory: loads, unloads and swaps them, one job at a time.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "daemon/config/config.h"
#include "daemon/control/control_observer.h"
#include "daemon/control/engine_supervisor.h"
#include "daemon/control/job.h"
#include "daemon/control/model.h"
#include "daemon/control/readiness.h"
#include "daemon/control/request_dispatcher.h"
#include "daemon/control/signal.h"
#include "daemon/control/worker_pool.h"

namespace halod {

/// Jobs wait in one queue, so that nobody's load is decided on memory that another one is taking. Models that
/// are resident come back by themselves when the engine is restarted. Thread: the io thread; everything that
/// Setup refers to outlives this.
class ModelManager : public EngineEvents {
 public:
  struct Setup {
    boost::asio::any_io_executor executor;
    RequestDispatcher& dispatcher;
    WorkerPool& workers;
    Metrics& metrics;
    const Config& config;  ///< re-read at each use, so that a reload takes effect
    /// Where the text side comes from; tests have other sources than files. On a worker's thread.
    std::function<Result<TextModel>(const ModelSpec&)> load_text = [](const ModelSpec& spec) {
      return TextModel::load(spec.path, spec.config.chat_template_file);
    };
  };
  explicit ModelManager(Setup setup);
  ~ModelManager() override;
  ModelManager(const ModelManager&) = delete;
  ModelManager& operator=(const ModelManager&) = delete;
  /// Before run(): the process that the models live in.
  void set_engine(EngineSupervisor& engine) { engine_ = &engine; }
  void add_observer(ControlObserver& observer) { observers_.push_back(&observer); }
  void remove_observer(ControlObserver& observer) { std::erase(observers_, &observer); }

  /// Finds the models and loads the default one; then runs jobs until stop(). Call once.
  /// Errors: there is no model, or the default one cannot be loaded.
  boost::asio::awaitable<Result<>> run();
  /// Takes no more jobs and requests, gives running requests up to `timeout`, and ends run().
  boost::asio::awaitable<void> stop(std::chrono::milliseconds timeout);

  // -- what there is

  const std::vector<std::unique_ptr<Model>>& models() const { return models_; }
  /// By name or alias; the active one for an empty name. nullptr when there is none.
  const Model* find_model(std::string_view name) const;
  const Model* find_model(ModelId id) const;
  /// The one that requests without a model's name mean; nullptr when it was unloaded.
  const Model* active_model() const { return active_ ? find_model(*active_) : nullptr; }
  const std::deque<Job>& jobs() const { return jobs_; }  ///< by id; ended ones are kept until 64 newer came
  const Job* find_job(JobId id) const;
  const Readiness& readiness() const { return readiness_; }
  size_t n_unfinished() const { return setup_.dispatcher.n_unfinished(); }
  size_t n_unfinished(ModelId id) const { return setup_.dispatcher.n_unfinished(id); }
  double tokens_per_second() const { return tokens_per_second_; }  ///< generated, over the last heartbeats

  // -- what to do. All return at once with the job's id. Errors: kNotFound, kUnavailable while stopping,
  // kQueueFull when too many jobs wait.

  Result<JobId> load(std::string_view name, const Requester& requester);
  Result<JobId> unload(std::string_view name, DrainPolicy policy, const Requester& requester);
  /// Loads a model in the place of the active one: beside it when both fit, after it when not.
  Result<JobId> swap(std::string_view name, DrainPolicy policy, const Requester& requester);
  Result<JobId> rescan(const Requester& requester);
  /// The job ends as soon as it can do so cleanly. Errors: kNotFound; kInvalidArgument when it has ended.
  Result<> cancel(JobId id);
  /// Returns when the job has ended. Errors: its own; kCancelled.
  boost::asio::awaitable<Result<>> wait_for(JobId id);

  // -- requests

  /// The model of that name, loaded; waits for it, and loads it where the configuration says so.
  /// Errors: kNotFound; kUnavailable when it is not loaded, or not in time; kQueueFull; the load's own.
  boost::asio::awaitable<Result<ServedModelPtr>> acquire(std::string name);
  Result<Generation> submit(const ServedModel& model, std::vector<GenerationRequest> requests);

  // -- EngineEvents
  void on_engine_started() override;
  Result<> on_engine_frame(const wire::Frame& frame) override;
  void on_engine_ended(const std::string& how, bool innocent) override;

  /// The configuration was read again: finds the models anew, and gives new requests the new defaults.
  void config_changed();
  DrainPolicy default_policy() const;

 private:
  // model_manager.cpp
  Result<JobId> add_job(Job job);
  boost::asio::awaitable<void> maintain();
  void unload_unused();
  void retry_active();
  Model* find_mutable(std::string_view name);
  Model* find_mutable(ModelId id);
  Model* find_by_engine_id(uint32_t engine_model_id);
  void adopt(std::vector<ModelSpec> specs);
  Error no_such_model(const std::string& name) const;
  /// Until anything changed or the deadline. Throws operation_aborted when the caller is cancelled.
  boost::asio::awaitable<void> wait_for_change(std::chrono::steady_clock::time_point deadline);
  void set_active(std::optional<ModelId> id);
  void set_state(Model& model, ModelState state);
  void update_readiness();
  void set_readiness(ServiceState state, std::string reason, int percent = 0);
  void changed(const Job& job);
  void update_busy();
  template <class Call>
  void tell(Call call) {
    for (ControlObserver* observer : observers_) call(*observer);
  }

  // model_jobs.cpp
  boost::asio::awaitable<Result<>> run_jobs();
  boost::asio::awaitable<Result<>> run_job(Job& job);
  boost::asio::awaitable<Result<>> do_load(Job& job, Model& model);
  boost::asio::awaitable<Result<>> do_unload(Job& job, Model& model);
  boost::asio::awaitable<Result<>> do_swap(Job& job, Model& model);
  boost::asio::awaitable<Result<>> do_rescan();
  boost::asio::awaitable<void> read_file_infos();
  boost::asio::awaitable<void> wait_for_restart(const Job& job, const Model& model);
  boost::asio::awaitable<Result<>> prepare_text(Model& model);
  boost::asio::awaitable<Result<>> load_into_engine(Job& job, Model& model);
  boost::asio::awaitable<Result<>> make_room(Job& job, const Model& newcomer, const Error& shortage);
  void put_aside(Model& model, bool comes_back);
  void set_stage(Job& job, std::string_view stage);
  void end_job(Job& job, const Result<>& result);

  // model_frames.cpp
  void send_load(Model& model);
  Result<> handle(wire::LoadProgress progress);
  Result<> handle(wire::ModelLoaded loaded);
  Result<> handle(wire::LoadFailure failure);
  Result<> handle(wire::Selections changed);
  Result<> handle(wire::Unloaded unloaded);
  Result<> handle(wire::Pong pong);

  Setup setup_;
  EngineSupervisor* engine_ = nullptr;
  std::vector<ControlObserver*> observers_;
  std::vector<std::unique_ptr<Model>> models_;
  std::optional<ModelId> active_;
  std::deque<Job> jobs_;
  Readiness readiness_;
  uint32_t next_model_id_ = 1;
  uint32_t next_engine_model_id_ = 1;
  uint32_t next_job_id_ = 1;
  size_t n_acquiring_ = 0;
  double tokens_per_second_ = 0;
  uint64_t n_tokens_before_ = 0;
  std::chrono::steady_clock::time_point pong_before_{};
  bool engine_up_ = false;
  bool ever_ready_ = false;
  bool stopping_ = false;
  bool busy_ = false;
  bool catalogued_ = false;  // models_ is what was found, not merely still empty
  Signal changed_;           // anything that a waiting coroutine may be waiting for
  Job* running_ = nullptr;
};

}  // namespace halod
