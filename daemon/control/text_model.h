// The text side of the served model: what turns chats and strings into tokens, and tokens into text.
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "runtime/text/chat_template.h"
#include "runtime/text/harmony_parser.h"
#include "runtime/text/tokenizer.h"
#include "runtime/weights/tokenizer_data.h"

namespace halod {

/// Immutable. Thread: const methods from any thread at once.
class TextModel {
 public:
  /// Reads tokenizer and template from the model file; `template_file`, when not empty, replaces its
  /// template. Errors: those of open_checkpoint, the tokenizer and the template compiler, naming the file.
  static Result<TextModel> load(const std::filesystem::path& model_file,
                                const std::filesystem::path& template_file);
  static Result<TextModel> create(const TokenizerData& data, std::string_view template_source);

  const Tokenizer& tokenizer() const { return tokenizer_; }
  /// Text as a completion's prompt: with the beginning-of-sequence token where the model wants one.
  Result<std::vector<int32_t>> encode_prompt(std::string_view text) const;

  struct RenderedChat {
    std::vector<int32_t> prompt;
    bool opens_reasoning = false;  ///< the answer begins inside a think block
    /// The message that the answer continues, from its <|start|> on; empty where the format is not harmony.
    std::vector<TokenId> harmony_message;
  };
  /// `context`: messages, tools and the template's other variables; bos_token and eos_token are added here.
  /// Reasoning that comes back with a tool call (`reasoning_content`) is named as gpt-oss' template names it.
  /// Errors: kInvalidArgument with the template's own message (field "messages").
  Result<RenderedChat> render_chat(boost::json::object context) const;

  /// The tokens that end an answer.
  std::vector<int32_t> stop_token_ids() const;
  /// How the model's publisher samples.
  const SamplingDefaults& sampling() const { return sampling_; }

 private:
  TextModel(Tokenizer tokenizer, ChatTemplate chat_template, SamplingDefaults sampling)
      : tokenizer_(std::move(tokenizer)),
        chat_template_(std::move(chat_template)),
        harmony_(HarmonyMarks::find(tokenizer_)),
        sampling_(sampling) {}

  Tokenizer tokenizer_;
  ChatTemplate chat_template_;
  std::optional<HarmonyMarks> harmony_;  // gpt-oss' vocabulary
  SamplingDefaults sampling_;
};

}  // namespace halod
