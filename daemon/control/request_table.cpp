#include "daemon/control/request_table.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/error.h"

namespace halod {

size_t RequestTable::n_unfinished(ModelId model) const {
  return static_cast<size_t>(
      std::ranges::count_if(requests_, [model](const auto& entry) { return entry.second.model == model; }));
}

size_t RequestTable::n_in_engine(ModelId model) const {
  return static_cast<size_t>(std::ranges::count_if(requests_, [model](const auto& entry) {
    return entry.second.model == model && entry.second.in_engine;
  }));
}

void RequestTable::add(LiveRequest request) {
  const uint64_t request_id = request.request.request_id;
  const bool inserted = requests_.emplace(request_id, std::move(request)).second;
  HALOD_ASSERT(inserted);
}

LiveRequest* RequestTable::find(uint64_t request_id) {
  const auto found = requests_.find(request_id);
  return found == requests_.end() ? nullptr : &found->second;
}

std::vector<LiveRequest> RequestTable::take_all() {
  std::vector<LiveRequest> taken;
  for (auto& [request_id, request] : requests_) taken.push_back(std::move(request));
  requests_.clear();
  return taken;
}

std::vector<LiveRequest> RequestTable::take_all(ModelId model) {
  std::vector<LiveRequest> taken;
  for (auto& [request_id, request] : requests_) {
    if (request.model == model) taken.push_back(std::move(request));
  }
  for (const LiveRequest& request : taken) requests_.erase(request.request.request_id);
  return taken;
}

bool RequestTable::record_token(LiveRequest& request, int32_t token_id) {
  request.request.generated.push_back(token_id);
  request.progressed = true;
  return std::exchange(request.n_deaths, 0) > 0;
}

std::vector<const LiveRequest*> RequestTable::submittable(
    const std::function<bool(ModelId)>& takes_requests) {
  bool suspect_in_engine = std::ranges::any_of(
      requests_, [this](const auto& entry) { return entry.second.in_engine && is_suspect(entry.second); });
  std::vector<const LiveRequest*> ready;
  for (auto& [request_id, request] : requests_) {
    if (request.in_engine || !takes_requests(request.model)) continue;
    if (is_suspect(request) && suspect_in_engine) continue;
    suspect_in_engine = suspect_in_engine || is_suspect(request);
    request.in_engine = true;
    request.progressed = false;
    ready.push_back(&request);
  }
  return ready;
}

void RequestTable::model_unloaded(ModelId model) {
  for (auto& [request_id, request] : requests_) {
    if (request.model == model) request.in_engine = false;
  }
}

std::vector<LiveRequest> RequestTable::engine_died(const std::function<size_t(ModelId)>& max_sequences,
                                                   bool innocent) {
  std::vector<LiveRequest> failed;
  // The engine admits in order of submission, so the oldest that it holds of a model are those that were
  // running.
  std::map<ModelId, size_t> n_running;
  for (auto entry = requests_.begin(); entry != requests_.end();) {
    LiveRequest& request = entry->second;
    const bool was_running = !innocent && request.in_engine &&
                             (request.progressed || n_running[request.model] < max_sequences(request.model));
    n_running[request.model] += request.in_engine ? 1 : 0;
    request.in_engine = false;
    if (was_running) request.n_deaths += 1;
    const bool fail = was_running && request.n_deaths >= max_deaths_;
    if (fail) failed.push_back(std::move(request));
    entry = fail ? requests_.erase(entry) : std::next(entry);
  }
  return failed;
}

}  // namespace halod
