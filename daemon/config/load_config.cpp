#include "daemon/config/load_config.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <charconv>
#include <fstream>
#include <set>
#include <sstream>

#include "daemon/config/config_fields.h"
#include "daemon/config/nearest_key.h"

namespace halod {
namespace {

constexpr const char* kModels = "models";
constexpr const char* kList = "list";
constexpr const char* kModelList = "models.list";

/// Walks one document; every error is told with its place in the file.
class ConfigReader {
 public:
  explicit ConfigReader(std::string_view file_name) : file_name_(file_name) {}

  Result<Config> read(const YAML::Node& root) {
    if (root.IsNull()) return config_;  // an empty file, or comments alone
    if (!root.IsMap())
      return error_at(root, "the file must hold sections such as 'http:' and keys below them", "");
    const std::vector<std::string_view> sections = known_names("");
    std::set<std::string> seen;
    for (const auto& item : root) {
      const std::string section = item.first.IsScalar() ? item.first.Scalar() : "";
      if (std::ranges::find(sections, section) == sections.end())
        return unknown(item.first, "", section, sections);
      if (!seen.insert(section).second)
        return error_at(item.first, fmt::format("section '{}' is given twice", section), section);
      if (auto read = read_section(section, item.second); !read) return read.error();
    }
    return config_;
  }

 private:
  Result<> read_section(const std::string& section, const YAML::Node& node) {
    if (node.IsNull()) return {};  // all of its keys commented out
    if (!node.IsMap())
      return error_at(node, fmt::format("'{}' is a section: it takes keys below it", section), section);
    const std::vector<std::string_view> names = known_names(section);
    std::set<std::string> seen;
    for (const auto& item : node) {
      const std::string name = item.first.IsScalar() ? item.first.Scalar() : "";
      if (section == kModels && name == kList) {
        if (!seen.insert(name).second) return error_at(item.first, "models.list is given twice", kModelList);
        if (auto read = read_models(item.second); !read) return read.error();
        continue;
      }
      const ConfigField* field = find_config_field(section + "." + name);
      if (!field && has_keys_below(section + "." + name)) {
        if (!seen.insert(name).second)
          return error_at(item.first, fmt::format("section '{}.{}' is given twice", section, name), name);
        if (auto read = read_section(section + "." + name, item.second); !read) return read.error();
        continue;
      }
      if (!field) return unknown(item.first, section + ".", name, names);
      if (!seen.insert(name).second)
        return error_at(item.first, fmt::format("{} is given twice", field->key), field->key);
      if (auto assigned = read_value(*field, item.second); !assigned) return assigned.error();
    }
    return {};
  }

  /// models.list, the one key whose entries have keys of their own.
  Result<> read_models(const YAML::Node& node) {
    if (node.IsNull()) return {};
    if (!node.IsSequence())
      return error_at(node, "models.list takes a list of models, each with a 'path:' and perhaps more",
                      kModelList);
    for (const auto& entry : node) {
      config_.models.list.emplace_back();
      if (!entry.IsMap())
        return error_at(entry, "a model in models.list takes keys, at least 'path:'", kModelList);
      if (auto read = read_section(kModelList, entry); !read) return read.error();
      if (config_.models.list.back().path.empty())
        return error_at(entry, "a model in models.list has no path", "models.list.path");
    }
    return {};
  }

  Result<> read_value(const ConfigField& field, const YAML::Node& node) {
    const FieldPointer pointer = field.pointer(config_);
    if (const auto* list = std::get_if<std::vector<std::string>*>(&pointer))
      return read_list(field, node, **list);
    if (!node.IsScalar())
      return error_at(node, fmt::format("{} takes {}", field.key, describe_allowed(field)), field.key);
    if (auto assigned = assign_scalar(field, node.Scalar(), config_); !assigned) {
      return error_at(node, assigned.error().message, field.key);
    }
    config_.defaults.note_given(field.key);
    return {};
  }

  Result<> read_list(const ConfigField& field, const YAML::Node& node, std::vector<std::string>& target) {
    bool valid = node.IsSequence();
    if (valid) {
      target.clear();
      for (const auto& entry : node) {
        valid = valid && entry.IsScalar() && !entry.Scalar().empty();
        if (valid) target.push_back(entry.Scalar());
      }
    }
    if (!valid)
      return error_at(node, fmt::format("{} takes a list of strings, none of them empty", field.key),
                      field.key);
    return {};
  }

  /// Whether it is a section within one: "engine.tuning".
  static bool has_keys_below(const std::string& name) {
    return std::ranges::any_of(config_fields(),
                               [&](const ConfigField& field) { return field.key.starts_with(name + "."); });
  }

  /// Section names, or the names of one section's keys.
  static std::vector<std::string_view> known_names(const std::string& section) {
    std::vector<std::string_view> names;
    for (const ConfigField& field : config_fields()) {
      const bool wanted = section.empty() || field.key.starts_with(section + ".");
      if (!wanted) continue;
      std::string_view name = field.key.substr(section.empty() ? 0 : section.size() + 1);
      name = name.substr(0, name.find('.'));
      if (std::ranges::find(names, name) == names.end()) names.push_back(name);
    }
    return names;
  }

  Error unknown(const YAML::Node& at, const std::string& prefix, const std::string& name,
                const std::vector<std::string_view>& known) const {
    const std::string_view near = nearest_key(name, known);
    const std::string remedy = near.empty() ? fmt::format("known here: {}", fmt::join(known, ", "))
                                            : fmt::format("did you mean '{}{}'?", prefix, near);
    return error_at(at, fmt::format("unknown key '{}{}'; {}", prefix, name, remedy), prefix + name);
  }

  Error error_at(const YAML::Node& node, std::string_view message, std::string_view key) const {
    const YAML::Mark mark = node.Mark();
    return {ErrorCode::kInvalidArgument,
            fmt::format("{}:{}:{}: {}", file_name_, mark.line + 1, mark.column + 1, message),
            std::string(key)};
  }

  std::string file_name_;
  Config config_;
};

}  // namespace

Result<Config> parse_config(std::string_view yaml, std::string_view file_name) {
  try {
    Result<Config> config = ConfigReader(file_name).read(YAML::Load(std::string(yaml)));
    if (!config) return config;
    if (auto valid = validate(*config); !valid) {
      return Error{valid.error().code, fmt::format("{}: {}", file_name, valid.error().message),
                   valid.error().field};
    }
    return config;
  } catch (const YAML::Exception& exception) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("{}:{}:{}: not valid YAML: {}", file_name, exception.mark.line + 1,
                             exception.mark.column + 1, exception.msg)};
  }
}

Result<Config> load_config(const std::filesystem::path& path) {
  std::error_code ec;
  if (!std::filesystem::exists(path, ec)) {
    return Error{ErrorCode::kNotFound, fmt::format("configuration file {} does not exist", path.string())};
  }
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file || std::filesystem::is_directory(path, ec)) {
    return Error{ErrorCode::kIo, fmt::format("configuration file {} cannot be read", path.string())};
  }
  return parse_config(text.str(), path.string());
}

Result<ListenAddress> parse_listen_address(std::string_view text) {
  const Error error{ErrorCode::kInvalidArgument,
                    fmt::format("http.listen is '{}'; it takes HOST:PORT with an IP address or 'localhost', "
                                "such as 127.0.0.1:8000 or "
                                "[::1]:8000, and a port from 0 (any free one) to 65535",
                                text),
                    "http.listen"};
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return error;
  std::string_view host = text.substr(0, colon);
  const std::string_view port_text = text.substr(colon + 1);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  ListenAddress address{host == "localhost" ? "127.0.0.1" : std::string(host), 0};
  const auto [end, parse_error] =
      std::from_chars(port_text.data(), port_text.data() + port_text.size(), address.port);
  boost::system::error_code ec;
  const auto ip = boost::asio::ip::make_address(address.host, ec);
  if (parse_error != std::errc() || end != port_text.data() + port_text.size() || ec ||
      ip.is_v6() != bracketed)
    return error;
  return address;
}

Result<> validate(const Config& config) {
  if (auto address = parse_listen_address(config.http.listen); !address) return address.error();
  if (config.engine.restart_delay_min > config.engine.restart_delay_max) {
    return Error{
        ErrorCode::kInvalidArgument,
        fmt::format("engine.restart_delay_min ({} ms) is longer than engine.restart_delay_max ({} ms)",
                    config.engine.restart_delay_min.count(), config.engine.restart_delay_max.count()),
        "engine.restart_delay_min"};
  }
  if (config.engine.heartbeat_interval >= config.engine.heartbeat_timeout) {
    return Error{
        ErrorCode::kInvalidArgument,
        fmt::format("engine.heartbeat_interval ({} ms) must be shorter than engine.heartbeat_timeout ({} ms)",
                    config.engine.heartbeat_interval.count(), config.engine.heartbeat_timeout.count()),
        "engine.heartbeat_interval"};
  }
  return {};
}

}  // namespace halod
