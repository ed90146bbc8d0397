// What turns chats into tokens, fed with bytes from libFuzzer: with an even first byte they are
// tokenizer.json, whose tokenizer then encodes a text, with an odd one a chat template, which then renders a
// chat.
#include <boost/json.hpp>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/text/chat_template.h"
#include "runtime/text/tokenizer.h"
#include "runtime/weights/hf/hf_tokenizer.h"
#include "tests/support/memory_file.h"
#include "tests/support/temporary_folder.h"

namespace {

/// Words, numbers, spaces, an accent, half a code point, names of special tokens.
constexpr std::string_view kText =
    " Hello, w\xC3\xB6rld!  it's 12345\r\n\r\n\xE2\x96\x81\xF0\x9F\x98\x80 \xE2\x82 <|im_end|>abcabc<s>\x01";

constexpr std::string_view kContext = R"({"messages": [
  {"role": "system", "content": "be kind"}, {"role": "user", "content": "hi <|im_end|>"},
  {"role": "assistant", "content": null, "tool_calls": [{"type": "function", "id": "1",
   "function": {"name": "f", "arguments": {"a": [1, 2.5, true, null]}}}]},
  {"role": "tool", "content": "3"}],
  "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}],
  "add_generation_prompt": true, "bos_token": "<s>", "eos_token": "</s>"})";

void check(const halod::Error& error) { HALOD_ASSERT(!error.message.empty()); }

void use_tokenizer(std::string_view content) {
  static const halod::TemporaryFolder folder;
  static const halod::MemoryFile file;
  static const bool is_linked = [] {
    std::filesystem::create_symlink(file.path(), folder.path() / "tokenizer.json");
    return true;
  }();
  HALOD_ASSERT(is_linked);
  file.set_content(content);
  const auto data = halod::read_hf_tokenizer(folder.path(), 0);
  if (!data) return check(data.error());
  const auto tokenizer = halod::Tokenizer::create(*data);
  if (!tokenizer) return check(tokenizer.error());
  for (const bool parses : {false, true}) {
    const auto ids = tokenizer->encode(kText, {.add_special = parses, .parse_special = parses});
    if (!ids) return check(ids.error());
    for (const halod::TokenId id : *ids) {
      HALOD_ASSERT(to_int(id) >= 0 && static_cast<size_t>(to_int(id)) < tokenizer->vocab_size());
      // Text of strangers never becomes what structures a prompt; the unknown token stands for what nothing
      // spells.
      const auto type = data->token_types[static_cast<size_t>(to_int(id))];
      HALOD_ASSERT(parses || type != halod::TokenType::kControl);
    }
    static_cast<void>(tokenizer->decode(*ids, parses));
  }
}

void use_template(std::string_view source) {
  static const boost::json::object context = boost::json::parse(kContext).as_object();
  const auto compiled = halod::ChatTemplate::compile(source);
  if (!compiled) return check(compiled.error());
  const auto text = compiled->render(context, std::tm{});
  // A template may raise an error without words.
  if (!text) HALOD_ASSERT(text.error().code == halod::ErrorCode::kInvalidArgument);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view content(reinterpret_cast<const char*>(data) + 1, size - 1);
  data[0] % 2 == 0 ? use_tokenizer(content) : use_template(content);
  return 0;
}
