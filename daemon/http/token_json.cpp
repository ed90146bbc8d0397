#include "daemon/http/token_json.h"

#include <boost/json/array.hpp>
#include <cmath>

#include "runtime/text/utf8_stream.h"

namespace halod {

namespace json = boost::json;

std::string printable_token(const Tokenizer& tokenizer, int32_t token_id) {
  Utf8Stream stream;
  std::string text = stream.push(tokenizer.token_text(TokenId{token_id}));
  return text + stream.flush();
}

double finite_logprob(float logprob) {
  return std::isfinite(logprob) ? static_cast<double>(logprob) : -9999.0;
}

json::object token_logprob_json(const Tokenizer& tokenizer, const TokenLogprob& token) {
  json::array bytes;
  for (const char byte : tokenizer.token_text(TokenId{token.token_id}))
    bytes.emplace_back(static_cast<unsigned char>(byte));
  json::object object;
  object["token"] = printable_token(tokenizer, token.token_id);
  object["logprob"] = finite_logprob(token.logprob);
  object["bytes"] = std::move(bytes);
  return object;
}

}  // namespace halod
