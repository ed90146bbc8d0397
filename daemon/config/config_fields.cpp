// It is longer than 400 lines because it has a row for every key.
#include "daemon/config/config_fields.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <type_traits>

namespace halod {
namespace {

using std::chrono::milliseconds;

constexpr double kSecond = 1'000;
constexpr double kHour = 3'600'000;
constexpr double kKiB = 1024;
constexpr double kMiB = 1024 * kKiB;
constexpr double kGiB = 1024 * kMiB;
constexpr double kMonth = 30 * 24 * kHour;

template <auto Section, auto Member>
FieldPointer pointer_to(Config& config) {
  return &((config.*Section).*Member);
}

template <auto Member>
FieldPointer in_last_model(Config& config) {
  return &(config.models.list.back().*Member);
}

std::vector<ConfigField> make_fields() {
  using C = Config;
  using H = HttpConfig;
  using M = ModelsConfig;
  using Entry = ModelEntryConfig;
  using E = EngineConfig;
  using L = LimitsConfig;
  using D = DefaultsConfig;
  return {
      {.key = "http.listen", .pointer = pointer_to<&C::http, &H::listen>, .needs_restart = true},
      {.key = "http.max_connections",
       .pointer = pointer_to<&C::http, &H::max_connections>,
       .min = 1,
       .max = 65536,
       .needs_restart = true},
      {.key = "http.max_header_bytes",
       .pointer = pointer_to<&C::http, &H::max_header_bytes>,
       .min = kKiB,
       .max = kMiB,
       .is_bytes = true},
      {.key = "http.max_body_bytes",
       .pointer = pointer_to<&C::http, &H::max_body_bytes>,
       .min = kKiB,
       .max = kGiB,
       .is_bytes = true},
      {.key = "http.idle_timeout",
       .pointer = pointer_to<&C::http, &H::idle_timeout>,
       .min = kSecond,
       .max = kHour},
      {.key = "http.read_timeout",
       .pointer = pointer_to<&C::http, &H::read_timeout>,
       .min = 100,
       .max = kHour},
      {.key = "http.write_timeout",
       .pointer = pointer_to<&C::http, &H::write_timeout>,
       .min = 100,
       .max = kHour},
      {.key = "http.allow_origin", .pointer = pointer_to<&C::http, &H::allow_origin>},
      {.key = "http.api_keys", .pointer = pointer_to<&C::http, &H::api_keys>},
      {.key = "http.api_keys_file", .pointer = pointer_to<&C::http, &H::api_keys_file>},
      {.key = "http.admin_keys", .pointer = pointer_to<&C::http, &H::admin_keys>},
      {.key = "http.admin_keys_file", .pointer = pointer_to<&C::http, &H::admin_keys_file>},
      {.key = "models.directory", .pointer = pointer_to<&C::models, &M::directory>},
      {.key = "models.default", .pointer = pointer_to<&C::models, &M::default_model>},
      {.key = "models.load_on_request", .pointer = pointer_to<&C::models, &M::load_on_request>},
      {.key = "models.max_resident", .pointer = pointer_to<&C::models, &M::max_resident>, .max = 64},
      {.key = "models.swap_policy",
       .pointer = pointer_to<&C::models, &M::swap_policy>,
       .choices = {"drain", "pause"}},
      {.key = "models.drain_timeout", .pointer = pointer_to<&C::models, &M::drain_timeout>, .max = kHour},
      {.key = "models.wait_timeout",
       .pointer = pointer_to<&C::models, &M::wait_timeout>,
       .min = kSecond,
       .max = kHour},
      {.key = "models.time_to_live", .pointer = pointer_to<&C::models, &M::time_to_live>, .max = kMonth},
      {.key = "models.list.path", .pointer = in_last_model<&Entry::path>},
      {.key = "models.list.name", .pointer = in_last_model<&Entry::name>},
      {.key = "models.list.aliases", .pointer = in_last_model<&Entry::aliases>},
      {.key = "models.list.chat_template_file", .pointer = in_last_model<&Entry::chat_template_file>},
      {.key = "models.list.pinned", .pointer = in_last_model<&Entry::pinned>},
      {.key = "models.list.time_to_live", .pointer = in_last_model<&Entry::time_to_live>, .max = kMonth},
      {.key = "models.list.context_length",
       .pointer = in_last_model<&Entry::context_length>,
       .max = 16 * kMiB},
      {.key = "models.list.max_sequences", .pointer = in_last_model<&Entry::max_sequences>, .max = 4096},
      {.key = "models.list.kv_cache_tokens",
       .pointer = in_last_model<&Entry::kv_cache_tokens>,
       .max = 1024 * kGiB},
      {.key = "engine.binary", .pointer = pointer_to<&C::engine, &E::binary>, .needs_restart = true},
      {.key = "engine.backend",
       .pointer = pointer_to<&C::engine, &E::backend>,
       .needs_restart = true,
       .choices = {"auto", "cpu", "hip"}},
      {.key = "engine.n_threads",
       .pointer = pointer_to<&C::engine, &E::n_threads>,
       .max = 1024,
       .needs_restart = true},
      {.key = "engine.gpu_graphs",
       .pointer = pointer_to<&C::engine, &E::gpu_graphs>,
       .needs_restart = true,
       .choices = {"auto", "on", "off"}},
      {.key = "engine.context_length",
       .pointer = pointer_to<&C::engine, &E::context_length>,
       .max = 16 * kMiB,
       .needs_restart = true},
      {.key = "engine.max_sequences",
       .pointer = pointer_to<&C::engine, &E::max_sequences>,
       .max = 4096,
       .needs_restart = true},
      {.key = "engine.kv_cache_tokens",
       .pointer = pointer_to<&C::engine, &E::kv_cache_tokens>,
       .max = 1024 * kGiB,
       .needs_restart = true},
      {.key = "engine.prefill_chunk",
       .pointer = pointer_to<&C::engine, &E::prefill_chunk>,
       .max = 65536,
       .needs_restart = true},
      {.key = "engine.tuning.mode",
       .pointer = pointer_to<&C::engine, &E::tuning_mode>,
       .needs_restart = true,
       .choices = {"off", "use", "tune", "background"}},
      {.key = "engine.tuning.budget",
       .pointer = pointer_to<&C::engine, &E::tuning_budget>,
       .max = kHour,
       .needs_restart = true},
      {.key = "engine.heartbeat_interval",
       .pointer = pointer_to<&C::engine, &E::heartbeat_interval>,
       .min = 10,
       .max = 60'000,
       .needs_restart = true},
      {.key = "engine.heartbeat_timeout",
       .pointer = pointer_to<&C::engine, &E::heartbeat_timeout>,
       .min = 100,
       .max = kHour,
       .needs_restart = true},
      {.key = "engine.restart_delay_min",
       .pointer = pointer_to<&C::engine, &E::restart_delay_min>,
       .min = 1,
       .max = 60'000,
       .needs_restart = true},
      {.key = "engine.restart_delay_max",
       .pointer = pointer_to<&C::engine, &E::restart_delay_max>,
       .min = 1,
       .max = kHour,
       .needs_restart = true},
      {.key = "engine.healthy_after",
       .pointer = pointer_to<&C::engine, &E::healthy_after>,
       .min = 1,
       .max = kHour,
       .needs_restart = true},
      {.key = "engine.max_deaths_per_request",
       .pointer = pointer_to<&C::engine, &E::max_deaths_per_request>,
       .min = 1,
       .max = 100,
       .needs_restart = true},
      {.key = "limits.max_requests",
       .pointer = pointer_to<&C::limits, &L::max_requests>,
       .min = 1,
       .max = 65536,
       .needs_restart = true},
      {.key = "limits.text_threads",
       .pointer = pointer_to<&C::limits, &L::text_threads>,
       .min = 1,
       .max = 64,
       .needs_restart = true},
      {.key = "limits.shutdown_timeout",
       .pointer = pointer_to<&C::limits, &L::shutdown_timeout>,
       .max = kHour},
      {.key = "defaults.generation_config",
       .pointer = pointer_to<&C::defaults, &D::generation_config>,
       .choices = {"auto", "none"}},
      {.key = "defaults.temperature", .pointer = pointer_to<&C::defaults, &D::temperature>, .max = 2},
      {.key = "defaults.top_p",
       .pointer = pointer_to<&C::defaults, &D::top_p>,
       .max = 1,
       .min_is_exclusive = true},
      {.key = "defaults.top_k", .pointer = pointer_to<&C::defaults, &D::top_k>, .max = kMiB},
      {.key = "defaults.min_p",
       .pointer = pointer_to<&C::defaults, &D::min_p>,
       .max = 1,
       .max_is_exclusive = true},
      {.key = "defaults.repetition_penalty",
       .pointer = pointer_to<&C::defaults, &D::repetition_penalty>,
       .max = 10,
       .min_is_exclusive = true},
      {.key = "defaults.presence_penalty",
       .pointer = pointer_to<&C::defaults, &D::presence_penalty>,
       .min = -2,
       .max = 2},
      {.key = "defaults.frequency_penalty",
       .pointer = pointer_to<&C::defaults, &D::frequency_penalty>,
       .min = -2,
       .max = 2},
      {.key = "defaults.max_tokens", .pointer = pointer_to<&C::defaults, &D::max_tokens>, .max = 16 * kMiB},
      {.key = "log.level",
       .pointer = pointer_to<&C::log, &LogConfig::level>,
       .choices = {"trace", "debug", "info", "warning", "error", "critical"}},
      {.key = "dbus.bus",
       .pointer = pointer_to<&C::dbus, &DBusConfig::bus>,
       .needs_restart = true,
       .choices = {"system", "session", "none", "auto"}},
      {.key = "dbus.address", .pointer = pointer_to<&C::dbus, &DBusConfig::address>, .needs_restart = true},
      {.key = "power.hold_profile",
       .pointer = pointer_to<&C::power, &PowerConfig::hold_profile>,
       .choices = {"off", "performance"}},
      {.key = "power.release_after",
       .pointer = pointer_to<&C::power, &PowerConfig::release_after>,
       .max = kHour},
  };
}

struct UnitName {
  std::string_view name;
  double factor;
};
constexpr std::array kDurationUnits{UnitName{"ms", 1}, UnitName{"s", kSecond}, UnitName{"min", 60 * kSecond},
                                    UnitName{"h", kHour}};
constexpr std::array kByteUnits{UnitName{"", 1}, UnitName{"KiB", kKiB}, UnitName{"MiB", kMiB},
                                UnitName{"GiB", kGiB}};

/// "1.5 s" → 1500; nothing when the number or the unit is not one.
std::optional<double> parse_with_unit(std::string_view text, std::span<const UnitName> units) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || !std::isfinite(number)) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  const auto unit = std::ranges::find(units, text, &UnitName::name);
  return unit == units.end() ? std::nullopt : std::optional(number * unit->factor);
}

/// 1500 → "1500ms", 60000 → "1min": the largest unit that leaves a whole number.
std::string format_with_unit(double value, std::span<const UnitName> units) {
  const UnitName* best = &units.front();
  for (const UnitName& unit : units) {
    if (value != 0 && std::fmod(value, unit.factor) == 0) best = &unit;
  }
  return fmt::format("{:.0f}{}", value / best->factor, best->name);
}

std::span<const UnitName> units_of(const ConfigField& field, bool is_duration) {
  static constexpr std::array kPlain{UnitName{"", 1}};
  if (is_duration) return kDurationUnits;
  return field.is_bytes ? std::span<const UnitName>(kByteUnits) : std::span<const UnitName>(kPlain);
}

std::string format_number(const ConfigField& field, double value, bool is_duration) {
  if (is_duration || field.is_bytes) return format_with_unit(value, units_of(field, is_duration));
  return value == std::floor(value) ? fmt::format("{:.0f}", value) : fmt::format("{}", value);
}

bool in_range(const ConfigField& field, double value) {
  const bool above = field.min_is_exclusive ? value > field.min : value >= field.min;
  return above && (field.max_is_exclusive ? value < field.max : value <= field.max);
}

Error not_allowed(const ConfigField& field, std::string_view text) {
  return {ErrorCode::kInvalidArgument,
          fmt::format("{} is '{}'; it takes {}", field.key, text, describe_allowed(field)),
          std::string(field.key)};
}

template <class Number>
Result<> assign_number(const ConfigField& field, std::string_view text, Number& target) {
  constexpr bool is_duration = std::is_same_v<Number, milliseconds>;
  const std::optional<double> value = parse_with_unit(text, units_of(field, is_duration));
  if (!value || !in_range(field, *value)) return not_allowed(field, text);
  if constexpr (std::is_same_v<Number, double>) {
    target = *value;
  } else {
    if (*value != std::floor(*value)) return not_allowed(field, text);
    using Integer = std::conditional_t<is_duration, int64_t, Number>;
    target = Number{static_cast<Integer>(*value)};
  }
  return {};
}

Result<> assign_boolean(const ConfigField& field, std::string_view text, bool& target) {
  if (text != "true" && text != "false") return not_allowed(field, text);
  target = text == "true";
  return {};
}

Result<> assign_string(const ConfigField& field, std::string_view text, std::string& target) {
  if (!field.choices.empty() && std::ranges::find(field.choices, text) == field.choices.end())
    return not_allowed(field, text);
  target = text;
  return {};
}

}  // namespace

std::span<const ConfigField> config_fields() {
  static const std::vector<ConfigField> fields = make_fields();
  return fields;
}

const ConfigField* find_config_field(std::string_view key) {
  const auto fields = config_fields();
  const auto found = std::ranges::find(fields, key, &ConfigField::key);
  return found == fields.end() ? nullptr : &*found;
}

std::string describe_allowed(const ConfigField& field) {
  Config config;
  config.models.list.emplace_back();
  const FieldPointer pointer = field.pointer(config);
  if (std::holds_alternative<bool*>(pointer)) return "true or false";
  if (std::holds_alternative<std::vector<std::string>*>(pointer)) return "a list of strings";
  if (std::holds_alternative<std::string*>(pointer)) {
    return field.choices.empty() ? "a string" : fmt::format("one of {}", fmt::join(field.choices, ", "));
  }
  const bool is_duration = std::holds_alternative<milliseconds*>(pointer);
  const std::string_view what = is_duration                                ? "a duration (ms, s, min, h)"
                                : std::holds_alternative<double*>(pointer) ? "a number"
                                : field.is_bytes ? "a size in bytes (or KiB, MiB, GiB)"
                                                 : "a whole number";
  return fmt::format("{} from {}{} to {}{}", what, field.min_is_exclusive ? "above " : "",
                     format_number(field, field.min, is_duration), field.max_is_exclusive ? "below " : "",
                     format_number(field, field.max, is_duration));
}

std::string format_value(const ConfigField& field, const Config& config) {
  Config copy = config;
  if (copy.models.list.empty()) copy.models.list.emplace_back();
  return std::visit(
      [&field](auto* value) -> std::string {
        using T = std::remove_pointer_t<decltype(value)>;
        if constexpr (std::is_same_v<T, std::string>) {
          return value->empty() ? "\"\"" : *value;
        } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
          return fmt::format("[{}]", fmt::join(*value, ", "));
        } else if constexpr (std::is_same_v<T, bool>) {
          return *value ? "true" : "false";
        } else if constexpr (std::is_same_v<T, milliseconds>) {
          return format_number(field, static_cast<double>(value->count()), true);
        } else {
          return format_number(field, static_cast<double>(*value), false);
        }
      },
      field.pointer(copy));
}

void copy_value(const ConfigField& field, Config& from, Config& to) {
  std::visit([&](auto* source) { *std::get<decltype(source)>(field.pointer(to)) = *source; },
             field.pointer(from));
}

Result<> assign_scalar(const ConfigField& field, std::string_view text, Config& config) {
  return std::visit(
      [&field, text](auto* target) -> Result<> {
        using T = std::remove_pointer_t<decltype(target)>;
        if constexpr (std::is_same_v<T, std::string>) {
          return assign_string(field, text, *target);
        } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
          return not_allowed(field, text);
        } else if constexpr (std::is_same_v<T, bool>) {
          return assign_boolean(field, text, *target);
        } else {
          return assign_number(field, text, *target);
        }
      },
      field.pointer(config));
}

}  // namespace halod
