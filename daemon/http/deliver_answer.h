// From a request's body to its whole answer: what all generating routes do.
#pragma once

#include <memory>
#include <string_view>

#include "daemon/http/answer_format.h"
#include "daemon/http/exchange.h"
#include "daemon/http/prepare_answer.h"
#include "daemon/http/routes/routes.h"

namespace halod {

/// Where the routes differ.
struct AnswerKind {
  Result<PreparedAnswer> (*prepare)(const boost::json::object& body, const ServedModel& model);
  std::unique_ptr<AnswerFormat> (*make_format)(AnswerFormatArgs args);
};

/// Parses, queues, and sends the answer, streamed if asked. Throws system_error when the client is gone; the
/// generation is then cancelled.
boost::asio::awaitable<void> deliver_answer(const Api& api, Exchange& exchange, AnswerKind kind);

}  // namespace halod
