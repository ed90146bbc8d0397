// The configuration's keys as rows of data: the loader, its error messages and the documentation test all
// walk this table.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"
#include "daemon/config/config.h"

namespace halod {

using FieldPointer = std::variant<std::string*, uint32_t*, uint64_t*, double*, std::chrono::milliseconds*,
                                  bool*, std::vector<std::string>*>;

struct ConfigField {
  std::string_view key;  ///< "http.listen": section and name; "models.list.path": of a list's entry
  FieldPointer (*pointer)(Config&);  ///< where the value lives; borrowed from the argument. REQUIRES, for a
                                     ///< list's entry: there is one; it is the last
  double min = 0;                    ///< numbers: inclusive; durations: milliseconds
  double max = 0;
  bool min_is_exclusive = false;
  bool max_is_exclusive = false;
  bool is_bytes = false;                       ///< accepts KiB, MiB, GiB
  bool needs_restart = false;                  ///< a reload leaves it as it was
  std::vector<std::string_view> choices = {};  ///< strings: the only values allowed, when not empty
};

/// Every key, in the order of config.h. Thread: any.
std::span<const ConfigField> config_fields();
/// nullptr when there is no such key.
const ConfigField* find_config_field(std::string_view key);

/// What a user may write there: "a duration from 100ms to 1h". For error messages.
std::string describe_allowed(const ConfigField& field);
/// The value in `config`, as it would be written in YAML.
std::string format_value(const ConfigField& field, const Config& config);
/// Gives `to` the field's value in `from`. REQUIRES: not a key of models.list.
void copy_value(const ConfigField& field, Config& from, Config& to);
/// Reads `text` into `config`. Errors: kInvalidArgument with what is allowed; `config` is then unchanged.
/// REQUIRES: the field is not a list.
Result<> assign_scalar(const ConfigField& field, std::string_view text, Config& config);

}  // namespace halod
