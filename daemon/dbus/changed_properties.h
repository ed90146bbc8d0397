// Which properties PropertiesChanged must name.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace halod {

/// Remembers the values that listeners know. `Values` is a tuple, its elements in the order of the names.
template <class Values>
class ChangedProperties {
 public:
  using Names = std::array<const char*, std::tuple_size_v<Values>>;
  ChangedProperties(const Names& names, Values values) : names_(names), known_(std::move(values)) {}

  const Values& known() const { return known_; }
  /// The names of those that differ from what is known, which `now` then is.
  std::vector<std::string> update(Values now) {
    std::vector<std::string> changed;
    collect(now, changed, std::make_index_sequence<std::tuple_size_v<Values>>());
    known_ = std::move(now);
    return changed;
  }

 private:
  template <size_t... kIdx>
  void collect(const Values& now, std::vector<std::string>& changed,
               std::index_sequence<kIdx...> /*all*/) const {
    (..., (std::get<kIdx>(now) == std::get<kIdx>(known_) ? void() : changed.push_back(names_[kIdx])));
  }

  Names names_;
  Values known_;
};

}  // namespace halod
