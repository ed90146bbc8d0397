#include "cli/migrate/ollama.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>
#include <utility>

namespace halod::cli {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr std::string_view kLayer = "application/vnd.ollama.image.";
/// What is not a small text is not one of these files.
constexpr uintmax_t kMaxJsonBytes = 1 << 20;

std::string member(const json::value& value, std::string_view name) {
  const json::object* object = value.if_object();
  const json::value* found = object ? object->if_contains(name) : nullptr;
  return found && found->is_string() ? std::string(found->get_string()) : "";
}

json::value read_json(const fs::path& file) {
  std::error_code ec;
  if (fs::file_size(file, ec) > kMaxJsonBytes || ec) return {};
  std::ifstream stream(file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  json::value value = json::parse(text, ec);
  return ec ? json::value() : value;
}

/// "sha256:…" is blobs/sha256-…; of early versions, blobs/sha256:….
fs::path blob_of(const fs::path& folder, std::string digest) {
  std::error_code ec;
  if (digest.find('/') != std::string::npos) return {};
  if (fs::exists(folder / "blobs" / digest, ec)) return folder / "blobs" / digest;
  std::ranges::replace(digest, ':', '-');
  return folder / "blobs" / digest;
}

bool is_gguf(const fs::path& file) {
  std::array<char, 4> magic{};
  std::ifstream(file, std::ios::binary).read(magic.data(), magic.size());
  return std::string_view(magic.data(), magic.size()) == "GGUF";
}

struct Parameter {
  std::string_view name, key;
};
constexpr auto kParameters = std::to_array<Parameter>({{"temperature", "temperature"},
                                                       {"top_p", "top_p"},
                                                       {"top_k", "top_k"},
                                                       {"min_p", "min_p"},
                                                       {"repeat_penalty", "repetition_penalty"},
                                                       {"presence_penalty", "presence_penalty"},
                                                       {"frequency_penalty", "frequency_penalty"}});

/// As it stands in the file: 0.6 shall not become 6E-1.
std::string plain(const json::value& value) {
  return value.is_double() ? fmt::format("{}", value.get_double()) : json::serialize(value);
}

void read_parameters(const json::value& parameters, MigratedModel& model) {
  const json::object* object = parameters.if_object();
  if (!object) {
    model.notes.emplace_back("its parameters cannot be read");
    return;
  }
  for (const auto& [name, value] : *object) {
    const auto known = std::ranges::find(kParameters, std::string_view(name), &Parameter::name);
    const int64_t whole = value.is_int64() ? value.get_int64() : 0;
    if (known != kParameters.end() && value.is_number()) {
      model.defaults[std::string(known->key)] = plain(value);
    } else if (name == "num_ctx" && whole > 0) {
      model.context_length = static_cast<uint64_t>(whole);
    } else if (name == "num_predict" && value.is_int64()) {
      if (whole > 0) model.defaults["max_tokens"] = plain(value);
    } else if (name == "stop") {
      model.notes.push_back(fmt::format("stop {} is a request's own here; the model's end tokens are known",
                                        json::serialize(value)));
    } else if (name != "num_gpu" && name != "num_batch" && name != "use_mmap" && name != "num_keep") {
      model.notes.push_back(
          fmt::format("no equivalent: PARAMETER {} {}", std::string_view(name), json::serialize(value)));
    }
  }
}

void read_layer(const fs::path& folder, const json::value& layer, MigratedModel& model) {
  const std::string type = member(layer, "mediaType");
  if (!type.starts_with(kLayer))
    return model.notes.push_back(fmt::format("no equivalent: a layer of type {}", type));
  const std::string_view kind = std::string_view(type).substr(kLayer.size());
  const fs::path blob = blob_of(folder, member(layer, "digest"));
  if (kind == "model") {
    if (!model.path.empty()) {
      model.notes.emplace_back("it has more than one file of weights, and only the first is here");
    } else if (is_gguf(blob)) {
      model.path = blob.string();
    } else {
      model.notes.push_back(fmt::format("{} is missing, cannot be read, or is no GGUF file", blob.string()));
    }
  } else if (kind == "params") {
    read_parameters(read_json(blob), model);
  } else if (kind == "projector") {
    model.notes.emplace_back("no equivalent: its projector, for images");
  } else if (kind == "adapter") {
    model.notes.emplace_back("no equivalent: its adapter; halod would serve the model without it");
  } else if (kind == "system") {
    model.notes.emplace_back("no equivalent: SYSTEM; send it as the system message of a request");
  } else if (kind == "messages") {
    model.notes.emplace_back("no equivalent: MESSAGE; send them in a request");
  } else if (kind != "template" && kind != "license") {
    model.notes.push_back(fmt::format("no equivalent: a layer of type {}", type));
  }
}

/// registry.ollama.ai/library/qwen3/8b is qwen3:8b; other namespaces and hosts stand before.
std::string name_of(const fs::path& manifest) {
  std::vector<std::string> parts;
  for (const fs::path& part : manifest) parts.push_back(part.string());
  if (parts.size() < 2) return manifest.string();
  const std::string tag = parts.back();
  parts.pop_back();
  if (parts.size() > 1 && parts.front() == "registry.ollama.ai") parts.erase(parts.begin());
  if (parts.size() > 1 && parts.front() == "library") parts.erase(parts.begin());
  std::string name;
  for (const std::string& part : parts) name += (name.empty() ? "" : "/") + part;
  return name + ":" + tag;
}

MigratedModel read_manifest(const fs::path& folder, const fs::path& file) {
  MigratedModel model{.name = name_of(file.lexically_relative(folder / "manifests"))};
  constexpr std::string_view kLatest = ":latest";
  if (model.name.ends_with(kLatest))
    model.aliases.push_back(model.name.substr(0, model.name.size() - kLatest.size()));
  const json::value manifest = read_json(file);
  const json::object* object = manifest.if_object();
  const json::value* layers = object ? object->if_contains("layers") : nullptr;
  if (!layers || !layers->is_array()) {
    model.notes.push_back(fmt::format("{} is no manifest", file.string()));
    return model;
  }
  for (const json::value& layer : layers->get_array()) read_layer(folder, layer, model);
  if (model.path.empty() && model.notes.empty()) model.notes.emplace_back("it has no file of weights");
  return model;
}

}  // namespace

fs::path usual_ollama_folder() {
  // NOLINTBEGIN(concurrency-mt-unsafe): nobody sets them
  if (const char* given = std::getenv("OLLAMA_MODELS"); given && *given) return given;
  std::error_code ec;
  const fs::path of_service = "/usr/share/ollama/.ollama/models";
  if (fs::exists(of_service / "manifests", ec)) return of_service;
  const char* home = std::getenv("HOME");
  // NOLINTEND(concurrency-mt-unsafe)
  return fs::path(home ? home : "/root") / ".ollama/models";
}

Result<Migration> migrate_ollama(const fs::path& given) {
  std::error_code ec;
  const fs::path folder = fs::exists(given / "manifests", ec) ? given : given / "models";
  std::vector<fs::path> files;
  for (fs::recursive_directory_iterator entry(folder / "manifests", ec), end; !ec && entry != end;
       entry.increment(ec)) {
    if (entry->is_regular_file(ec) && !entry->path().filename().string().starts_with('.'))
      files.push_back(entry->path());
  }
  if (ec) {
    return Error{ErrorCode::kNotFound, fmt::format("{}: there are no manifests of Ollama that can be read "
                                                   "({}); name the folder that has manifests/ and blobs/",
                                                   given.string(), ec.message())};
  }
  std::ranges::sort(files);
  Migration migration{.source = fmt::format("Ollama's models in {}", folder.string())};
  migration.notes.emplace_back(
      "Some of Ollama's own conversions are not llama.cpp's, and `ollama rm` takes their files away: haloctl "
      "pull brings a model "
      "from its publisher.");
  for (const fs::path& file : files) migration.models.push_back(read_manifest(folder, file));
  return migration;
}

}  // namespace halod::cli
