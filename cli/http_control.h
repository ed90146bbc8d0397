// A server's control over HTTP.
#pragma once

#include "cli/api_client.h"
#include "cli/control_client.h"

namespace halod::cli {

/// What a server's refusal means, from any route.
Failure refusal_of(const ApiReply& reply);

class HttpControl final : public ControlClient {
 public:
  /// `why_not_bus` ends the sentences that say that nothing came of HTTP; empty where it was asked for.
  explicit HttpControl(ApiClient client, std::string why_not_bus = "")
      : client_(std::move(client)), why_not_bus_(std::move(why_not_bus)) {}

  std::string url() const override { return client_.url(); }
  Reply<boost::json::value> health() override;
  Reply<boost::json::value> version() override;
  Reply<ModelList> models() override;
  Reply<boost::json::array> jobs() override;
  Reply<boost::json::value> job(uint32_t id) override;
  Reply<boost::json::value> machine() override;
  Reply<boost::json::value> tuning() override;
  Reply<boost::json::value> start(const JobOrder& order) override;
  Reply<boost::json::value> cancel(uint32_t id) override;
  Reply<boost::json::value> reload() override;
  Reply<boost::json::value> set_log_level(const std::string& level) override;

 private:
  Failure unreachable(const Error& error) const;
  Failure admin_refusal(const ApiReply& reply) const;
  Reply<boost::json::value> admin_answer(const Result<ApiReply>& reply) const;

  ApiClient client_;
  std::string why_not_bus_;
};

}  // namespace halod::cli
