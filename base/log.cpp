#include "base/log.h"

#include <fmt/format.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/ansicolor_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <utility>
#include <vector>

namespace halod {
namespace {

/// `%J`: the sd-daemon(3) priority prefix that journald strips and files the line under.
class JournalPriorityFlag : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& out) override {
    const std::string prefix = fmt::format("<{}>", journal_priority(message.level));
    out.append(prefix.data(), prefix.data() + prefix.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<JournalPriorityFlag>();
  }
};

Result<spdlog::level::level_enum> parse_level(const std::string& level) {
  const auto parsed = spdlog::level::from_str(level);
  // from_str answers "off" for anything it does not know.
  if (parsed != spdlog::level::off || level == "off") return parsed;
  return Error{
      ErrorCode::kInvalidArgument,
      fmt::format("log level '{}' is not one of trace, debug, info, warning, error, critical", level),
      "log.level"};
}

/// Plain data and one growing list per thread: logging takes no lock for it.
std::vector<LogField>& fields_of_this_thread() {
  static thread_local std::vector<LogField> fields;
  return fields;
}

}  // namespace

LogFields::LogFields(std::initializer_list<LogField> fields) : n_before_(fields_of_this_thread().size()) {
  fields_of_this_thread().insert(fields_of_this_thread().end(), fields.begin(), fields.end());
}

LogFields::~LogFields() { fields_of_this_thread().resize(n_before_); }

std::span<const LogField> LogFields::current() { return fields_of_this_thread(); }

int journal_priority(spdlog::level::level_enum level) {
  // trace, debug, info, warning, error, critical, off
  static constexpr std::array<int, 7> kPriorities{7, 7, 6, 4, 3, 2, 6};
  return kPriorities.at(static_cast<size_t>(level));
}

bool standard_error_is_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat status {};
  if (!stream || ::fstat(STDERR_FILENO, &status) != 0) return false;
  return fmt::format("{}:{}", status.st_dev, status.st_ino) == stream;
}

Result<> set_log_level(const std::string& level) {
  const auto parsed = parse_level(level);
  if (!parsed) return parsed.error();
  spdlog::set_level(*parsed);
  return {};
}

Result<> set_up_logging(const std::string& program, const std::string& level, spdlog::sink_ptr sink) {
  const auto parsed = parse_level(level);
  if (!parsed) return parsed.error();
  const bool journal = standard_error_is_journal();
  const bool formats_itself = sink != nullptr;
  if (!sink && journal) sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  if (!sink) sink = std::make_shared<spdlog::sinks::ansicolor_stderr_sink_mt>();
  auto logger = std::make_shared<spdlog::logger>(program, std::move(sink));
  if (!formats_itself) {
    auto formatter = std::make_unique<spdlog::pattern_formatter>();
    formatter->add_flag<JournalPriorityFlag>('J').set_pattern(journal ? "%J%v"
                                                                      : "%Y-%m-%d %H:%M:%S.%e %n %^%l%$ %v");
    logger->set_formatter(std::move(formatter));
  }
  logger->set_level(*parsed);
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
  return {};
}

}  // namespace halod
