#include "daemon/control/request_dispatcher.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <utility>

#include "daemon/control/admission.h"

namespace halod {

namespace asio = boost::asio;
using std::chrono::steady_clock;

namespace {

double seconds_since(steady_clock::time_point start) {
  return std::chrono::duration<double>(steady_clock::now() - start).count();
}

}  // namespace

RequestDispatcher::RequestDispatcher(Setup setup)
    : setup_(std::move(setup)), requests_(setup_.max_deaths_per_request), drained_(setup_.executor) {}

RequestDispatcher::~RequestDispatcher() { *alive_ = false; }

Result<Generation> RequestDispatcher::submit(ModelId model, const ModelLimits& limits,
                                             std::vector<GenerationRequest> requests) {
  HALOD_ASSERT(!requests.empty());
  if (closing_) return Error{ErrorCode::kUnavailable, "halod is stopping; retry when it is back"};
  const AdmissionLimits admission{.n_unfinished = requests_.size(),
                                  .max_requests = setup_.max_requests,
                                  .context_length = limits.context_length,
                                  .vocab_size = limits.vocab_size};
  if (auto admitted = admit(requests, admission); !admitted) {
    setup_.metrics.requests_refused.Increment();
    return admitted.error();
  }
  auto queue = std::make_shared<GenerationQueue>(setup_.executor);
  std::vector<uint64_t> ids;
  for (GenerationRequest& request : requests) {
    request.request_id = next_request_id_++;
    ids.push_back(request.request_id);
    const auto choice_idx = static_cast<uint32_t>(ids.size() - 1);
    requests_.add({.model = model,
                   .request = std::move(request),
                   .queue = queue,
                   .choice_idx = choice_idx,
                   .accepted_at = steady_clock::now()});
  }
  count();
  submit_waiting();
  const size_t n_choices = ids.size();
  return Generation(std::move(queue), n_choices,
                    [this, alive = alive_, ids = std::move(ids)](uint32_t choice_idx) {
                      if (*alive) cancel(ids[choice_idx]);
                    });
}

void RequestDispatcher::submit_waiting() {
  if (!send_) return;
  const auto takes_requests = [this](ModelId model) {
    const auto residency = residencies_.find(model);
    return residency != residencies_.end() && residency->second.takes_requests;
  };
  for (const LiveRequest* request : requests_.submittable(takes_requests)) {
    const wire::Submit submission{residencies_.at(request->model).engine_model_id, request->request};
    send_(wire::encode(wire::FrameType::kSubmit, submission));
  }
}

void RequestDispatcher::model_loaded(ModelId model, uint32_t engine_model_id, uint32_t max_sequences) {
  residencies_[model] = {
      .engine_model_id = engine_model_id, .max_sequences = max_sequences, .takes_requests = true};
  if (const size_t n_resumed = requests_.n_unfinished(model)) {
    spdlog::info("resuming {} requests", n_resumed);
    setup_.metrics.requests_resumed.Increment(static_cast<double>(n_resumed));
  }
  submit_waiting();
}

void RequestDispatcher::hold(ModelId model) {
  if (const auto residency = residencies_.find(model); residency != residencies_.end())
    residency->second.takes_requests = false;
}

void RequestDispatcher::release(ModelId model) {
  if (const auto residency = residencies_.find(model); residency != residencies_.end())
    residency->second.takes_requests = true;
  submit_waiting();
}

void RequestDispatcher::model_unloaded(ModelId model) {
  residencies_.erase(model);
  requests_.model_unloaded(model);
}

void RequestDispatcher::engine_ended(bool innocent) {
  send_ = nullptr;
  const auto max_sequences = [this](ModelId model) -> size_t {
    const auto residency = residencies_.find(model);
    return residency == residencies_.end() ? 0 : residency->second.max_sequences;
  };
  std::vector<LiveRequest> given_up = requests_.engine_died(max_sequences, innocent);
  residencies_.clear();
  for (LiveRequest& request : given_up) {
    spdlog::error("request {} is given up: it was running at {} engine deaths in a row",
                  request.request.request_id, request.n_deaths);
    const std::string message = fmt::format(
        "the engine died {} times in a row while it ran this request, which is given up", request.n_deaths);
    fail(std::move(request), ErrorCode::kInternal, message);
  }
  drained_.notify();
}

asio::awaitable<void> RequestDispatcher::wait_until_drained(ModelId model, steady_clock::time_point deadline,
                                                            const std::function<bool()>& give_up) {
  while (requests_.n_in_engine(model) > 0 && !give_up() && steady_clock::now() < deadline)
    co_await drained_.wait_until(deadline);
}

void RequestDispatcher::fail_all(ModelId model, ErrorCode code, const std::string& message) {
  for (LiveRequest& request : requests_.take_all(model)) {
    if (send_ && request.in_engine)
      send_(wire::encode(wire::FrameType::kCancel, wire::Cancel{request.request.request_id}));
    fail(std::move(request), code, message);
  }
  drained_.notify();
}

asio::awaitable<void> RequestDispatcher::close(std::chrono::milliseconds timeout, bool engine_is_there) {
  closing_ = true;
  // Without an engine nothing will finish, however long we wait.
  if (engine_is_there && !requests_.empty()) {
    spdlog::info("waiting up to {} ms for {} requests", timeout.count(), requests_.size());
    const auto deadline = steady_clock::now() + timeout;
    while (!requests_.empty() && send_ && steady_clock::now() < deadline)
      co_await drained_.wait_until(deadline);
  }
  for (LiveRequest& request : requests_.take_all()) {
    fail(std::move(request), ErrorCode::kUnavailable,
         "halod is stopping and this request did not finish in time");
  }
}

Result<> RequestDispatcher::handle(wire::Tokens tokens) {
  for (GeneratedToken& token : tokens.tokens) {
    if (auto handled = handle_token(std::move(token)); !handled) return handled;
  }
  return {};
}

Result<> RequestDispatcher::handle_token(GeneratedToken token) {
  LiveRequest* request = requests_.find(token.request_id);
  if (!request || !request->in_engine) return {};  // cancelled while it was on its way
  const size_t expected = request->request.generated.size();
  if (token.answer_idx != expected || expected >= request->request.max_tokens) {
    return Error{ErrorCode::kInternal,
                 fmt::format("engine protocol: request {} got token {} where {} of {} was due",
                             token.request_id, token.answer_idx, expected, request->request.max_tokens)};
  }
  if (expected == 0) setup_.metrics.time_to_first_token_seconds.Observe(seconds_since(request->accepted_at));
  setup_.metrics.generated_tokens.Increment();
  const bool cleared = RequestTable::record_token(*request, token.token_id);
  request->queue->push({request->choice_idx, std::move(token)});
  if (cleared) submit_waiting();
  return {};
}

void RequestDispatcher::handle(RequestFinished finished) {
  LiveRequest* request = requests_.find(finished.request_id);
  if (!request || !request->in_engine) return;
  setup_.metrics.request_seconds.Observe(seconds_since(request->accepted_at));
  setup_.metrics.prompt_tokens.Increment(finished.n_prompt_tokens);
  setup_.metrics.cached_prompt_tokens.Increment(finished.n_cached_tokens);
  const uint64_t request_id = finished.request_id;
  request->queue->push({request->choice_idx, std::move(finished)});
  forget(request_id);
}

void RequestDispatcher::cancel(uint64_t request_id) {
  const LiveRequest* request = requests_.find(request_id);
  if (!request) return;
  if (send_ && request->in_engine) send_(wire::encode(wire::FrameType::kCancel, wire::Cancel{request_id}));
  setup_.metrics.requests_cancelled.Increment();
  forget(request_id);
}

void RequestDispatcher::forget(uint64_t request_id) {
  requests_.erase(request_id);
  count();
  drained_.notify();
  submit_waiting();  // it may have been the suspect that others wait behind
}

void RequestDispatcher::fail(LiveRequest request, ErrorCode code, std::string message) {
  RequestFinished finished{.request_id = request.request.request_id,
                           .reason = FinishReason::error,
                           .error_code = std::string(to_string(code)),
                           .error_message = std::move(message),
                           .n_prompt_tokens = static_cast<uint32_t>(request.request.prompt.size()),
                           .n_generated_tokens = static_cast<uint32_t>(request.request.generated.size())};
  request.queue->push({request.choice_idx, std::move(finished)});
  count();
}

void RequestDispatcher::count() {
  setup_.metrics.requests_unfinished.Set(static_cast<double>(requests_.size()));
  if (tell_count_) tell_count_();
}

}  // namespace halod
