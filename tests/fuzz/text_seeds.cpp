// text_seeds FOLDER: writes the seed corpus of text_fuzz.
#include <boost/json.hpp>
#include <cstdio>
#include <filesystem>
#include <string>

#include "runtime/text/chat_template.h"
#include "tests/support/small_hf_model.h"

namespace {

/// Llama 2's kind of tokenizer.json.
constexpr const char* kSentencePiece = R"({
  "added_tokens": [{"id": 0, "content": "<unk>", "special": true}, {"id": 1, "content": "<s>", "special": true}],
  "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
    {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
  "pre_tokenizer": null,
  "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}]},
  "model": {"type": "BPE", "unk_token": "<unk>", "byte_fallback": true, "fuse_unk": true,
    "vocab": {"<unk>": 0, "<s>": 1, "<0x0A>": 2, "<0xC3>": 3, "▁": 4, "a": 5, "b": 6, "c": 7, "ab": 8, "abc": 9},
    "merges": ["a b", "ab c"]}})";
constexpr const char* kMetaspace =
    R"({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false})";

/// What templates of models do: loops, macros, namespaces, slices, filters, methods, errors.
constexpr const char* kTemplates[] = {
    R"({%- macro show(x) -%}{{ x | tojson }}{%- endmacro -%}
{%- set ns = namespace(last=0) -%}
{%- for m in messages[::-1] -%}
  {%- if m.role == 'tool' and not loop.first -%}{%- set ns.last = loop.index0 -%}{%- endif -%}
  {%- if m.tool_calls is defined and m.tool_calls -%}
    {%- for call in m.tool_calls -%}{{ show(call.function.arguments) }}{%- endfor -%}
  {%- endif -%}
  {{ '<|im_start|>' + m['role'] + '\n' + (m.content or '') | trim + '<|im_end|>' }}
{%- endfor -%}
{%- if add_generation_prompt %}{{ bos_token ~ ns.last }}{% endif -%})",
    R"({% if messages[0].role != 'system' %}{{ raise_exception('no system') }}{% endif %}
{% for a, b in {'x': 1, 'y': [2, 3]}.items() %}{{ a.upper() }}={{ b }}{% if loop.last %}{% break %}{% endif %}{% endfor %}
{{ messages | map(attribute='role') | join(', ') }} {{ "%05.2f|%s" | format(3.14159, none) }} {{ range(3) | list }}
{{ messages[1].content.split('<')[0].strip() if messages | length > 1 else strftime_now('%d %b %Y') }})"};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: text_seeds FOLDER\n");
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  std::filesystem::create_directories(folder);
  const auto tokenizer = [](const std::string& json) { return std::string(1, '\0') + json; };
  const auto chat_template = [](std::string_view source) { return '\1' + std::string(source); };
  halod::HfFiles seeds;
  seeds["tokenizer.bytes"] = tokenizer(halod::small_hf_model(false).at("tokenizer.json"));
  seeds["tokenizer.pieces"] = tokenizer(kSentencePiece);
  boost::json::value first = boost::json::parse(kSentencePiece);
  first.as_object()["normalizer"] = nullptr;
  first.as_object()["pre_tokenizer"] = boost::json::parse(kMetaspace);
  seeds["tokenizer.metaspace"] = tokenizer(boost::json::serialize(first));
  seeds["template.chatml"] = chat_template(halod::kChatMlTemplate);
  int n = 0;
  for (const char* source : kTemplates) seeds["template." + std::to_string(n++)] = chat_template(source);
  halod::write_files(seeds, folder);
  return 0;
}
