// halo-bench render: a chat template and a context in, the prompt's text out.
#include <boost/json.hpp>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>

#include "base/error.h"
#include "bench/command.h"
#include "runtime/text/chat_template.h"
#include "runtime/weights/checkpoint.h"
#include "runtime/weights/tokenizer_data.h"

namespace halod::bench {
namespace {

struct RenderOptions {
  std::filesystem::path template_path;
  std::string now;
};

std::string read_all(std::istream& stream) { return {std::istreambuf_iterator<char>(stream), {}}; }

/// The template's source: the file itself, or a model's.
std::string read_template(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path))
    return open_checkpoint(path).value()->tokenizer_data().value().chat_template;
  std::ifstream file(path, std::ios::binary);
  if (!file)
    throw ErrorException(
        {ErrorCode::kNotFound, "cannot read the template file " + path.string(), "--template"});
  std::string source = read_all(file);
  if (!source.starts_with("GGUF")) return source;
  return open_checkpoint(path).value()->metadata().string_or("tokenizer.chat_template", "").value();
}

std::tm parse_time(const std::string& text) {
  if (text.empty()) return local_time_now();
  std::tm time{};
  const char* end = strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &time);
  if (end == nullptr || *end != '\0') {
    throw ErrorException({ErrorCode::kInvalidArgument,
                          "--now is '" + text + "'; expected YYYY-MM-DDTHH:MM:SS, local time", "--now"});
  }
  time.tm_isdst = -1;
  return time;
}

void render(const RenderOptions& options) {
  const ChatTemplate chat_template = ChatTemplate::compile(read_template(options.template_path)).value();
  boost::system::error_code code;
  const boost::json::value context = boost::json::parse(read_all(std::cin), code);
  if (code || !context.is_object()) {
    throw ErrorException({ErrorCode::kInvalidArgument,
                          "standard input must hold a JSON object: the template's variables", "context"});
  }
  const std::string text = chat_template.render(context.get_object(), parse_time(options.now)).value();
  std::fwrite(text.data(), 1, text.size(), stdout);
}

}  // namespace

void add_render_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand(
      "render", "Render a chat template: context JSON on standard input, text on standard output");
  const auto options = std::make_shared<RenderOptions>();
  command
      ->add_option("--template", options->template_path,
                   "Jinja file, or a model (GGUF file or folder) whose template is used")
      ->required();
  command->add_option("--now", options->now, "Local time for strftime_now, YYYY-MM-DDTHH:MM:SS");
  command->callback([options] { render(*options); });
}

}  // namespace halod::bench
