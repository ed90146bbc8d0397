// /v1/admin: what D-Bus offers an administrator, for those who have HTTP only.
#include <fmt/format.h>

#include <boost/json/array.hpp>
#include <charconv>

#include "daemon/http/error_response.h"
#include "daemon/http/field_reader.h"
#include "daemon/http/json_body.h"
#include "daemon/http/model_json.h"
#include "daemon/http/routes/routes.h"

namespace halod {

namespace asio = boost::asio;
namespace json = boost::json;

namespace {

constexpr std::string_view kJobs = "/v1/admin/jobs/";

const Requester kRequester{.name = "http"};

struct AdminRequest {
  std::string model;
  DrainPolicy policy{};
  std::string level;
  bool wait = false;  ///< answer when the job has ended
};

Result<AdminRequest> parse(const Api& api, const Exchange& exchange) {
  AdminRequest request{.policy = api.models.default_policy()};
  if (exchange.request().body().empty()) return request;
  const Result<json::object> body = parse_json_body(exchange.request().body());
  if (!body) return body.error();
  FieldReader reader(*body);
  request.model = reader.string("model").value_or("");
  request.level = reader.string("level").value_or("");
  request.wait = reader.boolean("wait").value_or(false);
  if (const auto name = reader.string("policy")) {
    const auto policy = drain_policy_from(*name);
    if (!policy) reader.fail("policy", fmt::format("is '{}'; it takes drain or pause", *name));
    request.policy = policy.value_or(request.policy);
  }
  if (reader.failed()) return reader.error();
  return request;
}

/// Outside of the coroutines: GCC 12 takes no initializer list in an expression with co_await.
json::object object_of(std::string_view name, json::value value) {
  json::object object;
  object[name] = std::move(value);
  return object;
}

Response accepted(const json::value& body) {
  Response response = json_response(body);
  response.status = boost::beast::http::status::accepted;
  return response;
}

/// Outside of the coroutines too: GCC 12 destroys a conditional expression's temporary twice when it is an
/// operand of co_await.
Response response_of(const Result<>& done, std::string_view name, std::string_view value) {
  return done ? json_response(object_of(name, json::string(value.data(), value.size())))
              : error_response(done.error());
}

Response job_response(const Api& api, const Result<JobId>& id) {
  if (!id) return error_response(id.error());
  const Job* job = api.models.find_job(*id);
  if (job) return json_response(job_json(*job));
  return error_response({ErrorCode::kNotFound, fmt::format("there is no job {}", to_int(*id)), "job"});
}

Response cancel_response(const Api& api, const Result<JobId>& id) {
  const Result<> cancelled = id ? api.models.cancel(*id) : Result<>(id.error());
  return cancelled ? accepted(job_json(*api.models.find_job(*id))) : error_response(cancelled.error());
}

/// 202 with the job at once, or 200 with its end.
asio::awaitable<void> answer_job(const Api& api, Exchange& exchange, const Result<JobId>& job, bool wait) {
  if (!job) co_return co_await exchange.respond(error_response(job.error()));
  if (!wait) co_return co_await exchange.respond(accepted(job_json(*api.models.find_job(*job))));
  if (const Result<> ended = co_await api.models.wait_for(*job); !ended)
    co_return co_await exchange.respond(error_response(ended.error()));
  co_await exchange.respond(json_response(job_json(*api.models.find_job(*job))));
}

enum class Verb : uint8_t { kLoad, kUnload, kSwap };

asio::awaitable<void> move_model(const Api& api, Exchange& exchange, Verb verb) {
  const Result<AdminRequest> request = parse(api, exchange);
  if (!request) co_return co_await exchange.respond(error_response(request.error()));
  if (request->model.empty()) {
    const Error error{ErrorCode::kInvalidArgument, "model: say which one", "model"};
    co_return co_await exchange.respond(error_response(error));
  }
  const Result<JobId> job = verb == Verb::kLoad ? api.models.load(request->model, kRequester)
                            : verb == Verb::kUnload
                                ? api.models.unload(request->model, request->policy, kRequester)
                                : api.models.swap(request->model, request->policy, kRequester);
  co_await answer_job(api, exchange, job, request->wait);
}

Result<JobId> job_of_path(const Exchange& exchange) {
  const std::string_view text = exchange.path().substr(kJobs.size());
  uint32_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error == std::errc() && end == text.data() + text.size()) return JobId{id};
  return Error{ErrorCode::kInvalidArgument, fmt::format("'{}' is no job's number", text), "job"};
}

}  // namespace

asio::awaitable<void> get_admin_models(const Api& api, Exchange& exchange) {
  json::array models;
  for (const auto& model : api.models.models()) {
    models.push_back(
        model_json(*model, model.get() == api.models.active_model(), api.models.n_unfinished(model->id)));
  }
  co_await exchange.respond(json_response(object_of("models", std::move(models))));
}

asio::awaitable<void> post_admin_load(const Api& api, Exchange& exchange) {
  co_await move_model(api, exchange, Verb::kLoad);
}
asio::awaitable<void> post_admin_unload(const Api& api, Exchange& exchange) {
  co_await move_model(api, exchange, Verb::kUnload);
}
asio::awaitable<void> post_admin_swap(const Api& api, Exchange& exchange) {
  co_await move_model(api, exchange, Verb::kSwap);
}

asio::awaitable<void> post_admin_rescan(const Api& api, Exchange& exchange) {
  const Result<AdminRequest> request = parse(api, exchange);
  if (!request) co_return co_await exchange.respond(error_response(request.error()));
  co_await answer_job(api, exchange, api.models.rescan(kRequester), request->wait);
}

asio::awaitable<void> get_admin_jobs(const Api& api, Exchange& exchange) {
  json::array jobs;
  for (const Job& job : api.models.jobs()) jobs.push_back(job_json(job));
  co_await exchange.respond(json_response(object_of("jobs", std::move(jobs))));
}

asio::awaitable<void> get_admin_job(const Api& api, Exchange& exchange) {
  co_await exchange.respond(job_response(api, job_of_path(exchange)));
}

asio::awaitable<void> delete_admin_job(const Api& api, Exchange& exchange) {
  co_await exchange.respond(cancel_response(api, job_of_path(exchange)));
}

asio::awaitable<void> post_admin_reload(const Api& api, Exchange& exchange) {
  co_await exchange.respond(response_of(api.service.reload(), "status", "ok"));
}

asio::awaitable<void> put_admin_log_level(const Api& api, Exchange& exchange) {
  const Result<AdminRequest> request = parse(api, exchange);
  if (!request) co_return co_await exchange.respond(error_response(request.error()));
  const Result<> set = api.service.set_log_level(request->level);
  co_await exchange.respond(response_of(set, "level", api.service.log_level()));
}

}  // namespace halod
