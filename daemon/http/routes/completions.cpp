#include "daemon/http/deliver_answer.h"
#include "daemon/http/routes/routes.h"

namespace halod {

boost::asio::awaitable<void> post_completions(const Api& api, Exchange& exchange) {
  const AnswerKind kind{.prepare = prepare_completion, .make_format = make_completion_format};
  co_await deliver_answer(api, exchange, kind);
}

}  // namespace halod
