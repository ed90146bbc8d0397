// Runs an OutputParser over a text, whole or cut at random between code points.
#pragma once

#include <random>
#include <string_view>

#include "runtime/text/output_parser.h"
#include "runtime/text/utf8.h"

namespace halod {

inline void append_delta(OutputDelta& sum, OutputDelta delta) {
  sum.reasoning += delta.reasoning;
  sum.content += delta.content;
  for (ToolCall& call : delta.tool_calls) sum.tool_calls.push_back(std::move(call));
}

inline OutputDelta parse_whole(const OutputParserOptions& options, std::string_view text) {
  OutputParser parser(options);
  OutputDelta sum = parser.push(text);
  append_delta(sum, parser.finish());
  return sum;
}

/// Pieces of 1 to `max_piece` code points.
inline OutputDelta parse_in_pieces(const OutputParserOptions& options, std::string_view text,
                                   size_t max_piece, std::mt19937& random) {
  OutputParser parser(options);
  OutputDelta sum;
  while (!text.empty()) {
    size_t n_bytes = 0;
    for (size_t n = 1 + random() % max_piece; n > 0 && n_bytes < text.size(); --n)
      n_bytes += next_utf8(text.substr(n_bytes)).n_bytes;
    append_delta(sum, parser.push(text.substr(0, n_bytes)));
    text.remove_prefix(n_bytes);
  }
  append_delta(sum, parser.finish());
  return sum;
}

}  // namespace halod
