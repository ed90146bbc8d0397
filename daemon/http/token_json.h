// Tokens in JSON: a token's bytes need not be UTF-8, so they are shown twice.
#pragma once

#include <boost/json/object.hpp>
#include <string>

#include "runtime/engine/request.h"
#include "runtime/text/tokenizer.h"

namespace halod {

/// The token's text with U+FFFD in place of what is not UTF-8.
std::string printable_token(const Tokenizer& tokenizer, int32_t token_id);
/// JSON has no infinity: a token that was banned has OpenAI's -9999.
double finite_logprob(float logprob);
/// {"token", "logprob", "bytes"}
boost::json::object token_logprob_json(const Tokenizer& tokenizer, const TokenLogprob& token);

}  // namespace halod
