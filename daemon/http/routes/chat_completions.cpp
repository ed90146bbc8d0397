#include "daemon/http/deliver_answer.h"
#include "daemon/http/routes/routes.h"

namespace halod {

boost::asio::awaitable<void> post_chat_completions(const Api& api, Exchange& exchange) {
  const AnswerKind kind{.prepare = prepare_chat, .make_format = make_chat_format};
  co_await deliver_answer(api, exchange, kind);
}

}  // namespace halod
