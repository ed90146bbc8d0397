// halo-bench synth: writes a random-weight model of a real shape.
#include <fmt/format.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include "bench/command.h"
#include "bench/synthetic_model.h"

namespace halod::bench {
namespace {

struct SynthArguments {
  std::string path;
  std::string shape = "30b-a3b";
  std::string type = "Q4_K_M";
  int64_t n_layers = 0;  // 0: the shape's default
  uint64_t seed = 1;
  bool overwrites = false;
  bool prints_json = false;
};

[[noreturn]] void fail(ErrorCode code, std::string message, std::string field) {
  throw ErrorException(Error{code, std::move(message), std::move(field)});
}

template <class Rows>
std::string names_of(const Rows& rows) {
  std::string names;
  for (const auto& row : rows) {
    if (!names.empty()) names += ", ";
    names += row.name;
  }
  return names;
}

SyntheticModelOptions to_options(const SynthArguments& arguments) {
  const ModelShape* shape = find_model_shape(arguments.shape);
  if (shape == nullptr) {
    fail(ErrorCode::kInvalidArgument,
         fmt::format("--shape '{}' is unknown; there are {}", arguments.shape, names_of(model_shapes())),
         "--shape");
  }
  const FormatRecipe* recipe = find_format_recipe(arguments.type);
  if (recipe == nullptr) {
    fail(ErrorCode::kInvalidArgument,
         fmt::format("--type '{}' is unknown; there are {}", arguments.type, names_of(format_recipes())),
         "--type");
  }
  return {.shape = *shape,
          .recipe = *recipe,
          .n_layers = arguments.n_layers > 0 ? arguments.n_layers : shape->default_layers,
          .seed = arguments.seed};
}

void check_target(const SynthArguments& arguments, uint64_t needed_bytes) {
  const std::filesystem::path path(arguments.path);
  std::error_code error;
  if (std::filesystem::exists(path, error) && !arguments.overwrites) {
    fail(ErrorCode::kInvalidArgument, fmt::format("{} exists; give --force to replace it", arguments.path),
         "--out");
  }
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  const auto space = std::filesystem::space(folder, error);
  if (error) fail(ErrorCode::kIo, fmt::format("{}: {}", folder.string(), error.message()), "--out");
  if (space.available < needed_bytes) {
    fail(ErrorCode::kIo,
         fmt::format("{} needs {} bytes, but {} has {} free; choose fewer --layers or another folder",
                     arguments.path, needed_bytes, folder.string(), space.available),
         "--out");
  }
}

void draw_progress(uint64_t bytes_done, uint64_t bytes_total) {
  constexpr uint64_t kWidth = 40;
  const uint64_t filled = bytes_done * kWidth / bytes_total;
  fmt::print(stderr, "\r[{:#<{}}{:.<{}}] {:>3} %{}", "", filled, "", kWidth - filled,
             bytes_done * 100 / bytes_total, bytes_done == bytes_total ? "\n" : "");
}

void run(const SynthArguments& arguments) {
  const SyntheticModelOptions options = to_options(arguments);
  const SyntheticModel model(options);
  check_target(arguments, model.file_bytes());
  const WriteProgressCallback progress = isatty(STDERR_FILENO) != 0 ? draw_progress : WriteProgressCallback();
  model.write(arguments.path, progress).value();
  if (arguments.prints_json) {
    const boost::json::object report = {
        {"path", arguments.path},      {"shape", arguments.shape},
        {"type", arguments.type},      {"n_layers", options.n_layers},
        {"bytes", model.file_bytes()}, {"active_bytes_per_token", model.active_bytes_per_token()}};
    fmt::print("{}\n", boost::json::serialize(report));
  } else {
    fmt::print("{}: {} {} with {} layers, {:.2f} GB, of which decoding a token reads {:.1f} MB\n",
               arguments.path, arguments.shape, arguments.type, options.n_layers,
               static_cast<double>(model.file_bytes()) / 1e9,
               static_cast<double>(model.active_bytes_per_token()) / 1e6);
  }
}

}  // namespace

void add_synth_command(CLI::App& app) {
  auto arguments = std::make_shared<SynthArguments>();
  CLI::App* command = app.add_subcommand("synth", "Write a random-weight GGUF model of a real shape");
  command->add_option("--out", arguments->path, "File to write")->required();
  command->add_option("--shape", arguments->shape, "One of: " + names_of(model_shapes()))
      ->capture_default_str();
  command->add_option("--type", arguments->type, "Weight format, one of: " + names_of(format_recipes()))
      ->capture_default_str();
  command
      ->add_option("--layers", arguments->n_layers,
                   "Layers (default: 4 for 30b-a3b, the model's own for others)")
      ->check(CLI::Range(int64_t{1}, int64_t{1000}));
  command->add_option("--seed", arguments->seed, "Seed of the weights")->capture_default_str();
  command->add_flag("--force", arguments->overwrites, "Replace an existing file");
  command->add_flag("--json", arguments->prints_json, "Print the result as JSON");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace halod::bench
