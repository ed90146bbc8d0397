// halo-bench tokenize: text in, token ids out.
#include <boost/json.hpp>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <memory>

#include "base/error.h"
#include "bench/command.h"
#include "runtime/text/tokenizer.h"
#include "runtime/weights/checkpoint.h"

namespace halod::bench {
namespace {

struct TokenizeOptions {
  std::string model_path;
  std::string pre_tokenizer;
  bool special = false;
};

void tokenize(const TokenizeOptions& options) {
  TokenizerData data = open_checkpoint(options.model_path).value()->tokenizer_data().value();
  if (!options.pre_tokenizer.empty()) data.pre = options.pre_tokenizer;
  const Tokenizer tokenizer = Tokenizer::create(data).value();
  const std::string text{std::istreambuf_iterator<char>(std::cin), {}};
  boost::json::array ids;
  const auto encoded =
      tokenizer.encode(text, {.add_special = options.special, .parse_special = options.special}).value();
  for (const TokenId id : encoded) ids.push_back(to_int(id));
  std::printf("%s\n", boost::json::serialize(ids).c_str());
}

}  // namespace

void add_tokenize_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "tokenize", "Text on standard input, taken exactly as it is, to a JSON array of token ids");
  const auto options = std::make_shared<TokenizeOptions>();
  command->add_option("--model", options->model_path, "GGUF file, or a model's folder")->required();
  command->add_option("--pre", options->pre_tokenizer, "Pre-tokenizer to use instead of the model's own");
  command->add_flag("--special", options->special, "Add and parse special tokens");
  command->callback([options] { tokenize(*options); });
}

}  // namespace halod::bench
