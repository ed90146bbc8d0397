#include "cli/pull/pull.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <filesystem>
#include <span>
#include <vector>

#include "cli/exit_status.h"
#include "cli/format.h"
#include "cli/progress_line.h"
#include "cli/pull/download.h"
#include "cli/pull/hub.h"
#include "cli/pull/hub_token.h"
#include "cli/pull/model_name.h"
#include "cli/pull/transfer_rate.h"

namespace halod::cli {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

struct PulledFile {
  fs::path path;
  DownloadResult result = DownloadResult::kWasThere;
};

int report(const Error& error) {
  fmt::print(stderr, "haloctl: {}\n", error.message);
  if (error.code == ErrorCode::kUnavailable) return kUnreachable;
  return error.code == ErrorCode::kIo ? kCannotRun : kRefused;
}

int print_list(bool as_json, const HubRepository& repository) {
  const std::vector<ModelFiles> models = models_among(repository.files);
  if (as_json) {
    json::array list;
    for (const ModelFiles& model : models) {
      list.push_back(
          json::object{{"name", model.name}, {"bytes", model.bytes()}, {"n_files", model.files.size()}});
    }
    fmt::print("{}\n",
               json::serialize(json::object{
                   {"repository", repository.name}, {"commit", repository.commit}, {"models", list}}));
    return kSuccess;
  }
  Table table({"MODEL", "SIZE", "FILES"});
  for (const ModelFiles& model : models)
    table.add({model.name, format_bytes(model.bytes()), std::to_string(model.files.size())});
  fmt::print("{}", table.empty() ? "no model that halod can read\n" : table.to_string());
  return kSuccess;
}

/// Before an hour of downloading, not after it.
Result<> check_room(const ModelFiles& model, const fs::path& folder) {
  uint64_t missing = 0;
  for (const HubFile& file : model.files) {
    std::error_code error;
    const fs::path target = folder / file.path;
    if (fs::file_size(target, error) == file.bytes && !error) continue;
    missing += file.bytes - bytes_kept(file, target);
  }
  fs::path existing = folder;
  std::error_code error;
  while (!fs::exists(existing, error) && existing.has_relative_path()) existing = existing.parent_path();
  const fs::space_info space = fs::space(existing, error);
  if (error || space.available >= missing) return {};
  return Error{
      ErrorCode::kIo,
      fmt::format("{} needs {} more on the disk of {}, and {} are free; make room, or choose another folder "
                  "with --to",
                  model.name, format_bytes(missing), folder.string(), format_bytes(space.available))};
}

std::string describe(const HubFile& file, const DownloadProgress& now, uint64_t bytes_before,
                     uint64_t bytes_of_all, const TransferRate& rate) {
  const uint64_t done = bytes_before + now.bytes_done;
  const double fraction =
      bytes_of_all == 0 ? 1.0 : static_cast<double>(done) / static_cast<double>(bytes_of_all);
  std::string speed;
  if (now.checking) {
    speed = ", checking";
  } else if (rate.bytes_per_second() > 0) {
    speed = fmt::format(", {}/s, {} left", format_bytes(static_cast<uint64_t>(rate.bytes_per_second())),
                        format_seconds(rate.seconds_for(bytes_of_all - done)));
  }
  return fmt::format("{} {} of {}{}  {}", format_bar(fraction, 20), format_bytes(done),
                     format_bytes(bytes_of_all), speed, fs::path(file.path).filename().string());
}

Result<std::vector<PulledFile>> fetch_all(HttpTransfer& transfer, const Hub& hub,
                                          const HubRepository& repository, const ModelFiles& model,
                                          const fs::path& folder, int n_attempts, bool quiet) {
  std::vector<PulledFile> pulled;
  ProgressLine line(quiet);
  TransferRate rate;
  uint64_t bytes_before = 0;
  for (const HubFile& file : model.files) {
    const fs::path target = folder / file.path;
    const auto show = [&](const DownloadProgress& now) {
      if (!rate.add(now.checking ? 0 : now.bytes_done + bytes_before)) return;
      line.show(describe(file, now, bytes_before, model.bytes(), rate), file.path);
    };
    const auto result =
        download_file(transfer, hub.file_url(repository, file), file, target, n_attempts, show);
    if (!result) return result.error();
    pulled.push_back({.path = target, .result = *result});
    bytes_before += file.bytes;
  }
  return pulled;
}

bool has_news(std::span<const PulledFile> pulled) {
  return std::ranges::any_of(
      pulled, [](const PulledFile& file) { return file.result == DownloadResult::kDownloaded; });
}

void print_result(bool as_json, const HubRepository& repository, const ModelFiles& model,
                  const fs::path& folder, std::span<const PulledFile> pulled) {
  if (as_json) {
    json::array files;
    for (const PulledFile& file : pulled) {
      files.push_back(json::object{{"path", file.path.string()},
                                   {"was_there", file.result == DownloadResult::kWasThere}});
    }
    fmt::print("{}\n", json::serialize(json::object{{"repository", repository.name},
                                                    {"commit", repository.commit},
                                                    {"model", model.name},
                                                    {"directory", folder.string()},
                                                    {"bytes", model.bytes()},
                                                    {"files", files}}));
    return;
  }
  fmt::print("{} of {}: {}, {} in {}\n", model.name, repository.name,
             has_news(pulled) ? "downloaded" : "was there already", format_bytes(model.bytes()),
             folder.string());
}

}  // namespace

int run_pull(bool as_json, const PullFlags& flags, const std::function<void()>& on_new_files) {
  const auto name = parse_pull_name(flags.model);
  if (!name) {
    fmt::print(stderr, "haloctl: {}\n", name.error().message);
    return kUsage;
  }
  const auto token = hub_token(flags.token_file);
  if (!token) return report(token.error());
  HttpTransfer transfer(*token);
  std::string url = flags.hub;
  while (url.ends_with('/')) url.pop_back();
  Hub hub(url, transfer, flags.n_attempts);
  const auto repository = hub.repository(name->repository, flags.revision);
  if (!repository) return report(repository.error());
  if (flags.list) return print_list(as_json, *repository);
  const auto model = choose_model(repository->files, name->selection, name->repository);
  if (!model) return report(model.error());
  const fs::path folder = fs::path(flags.directory) / name->repository;
  if (auto room = check_room(*model, folder); !room) return report(room.error());
  const auto pulled = fetch_all(transfer, hub, *repository, *model, folder, flags.n_attempts, as_json);
  if (!pulled) return report(pulled.error());
  print_result(as_json, *repository, *model, folder, *pulled);
  if (has_news(*pulled)) on_new_files();
  return kSuccess;
}

}  // namespace halod::cli
