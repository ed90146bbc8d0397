// Logging set-up. Code logs with spdlog directly: spdlog::info("...").
#pragma once

#include <spdlog/common.h>

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"

namespace halod {

/// Makes the default logger write to standard error; with journald's level prefixes (`<6>`) when standard
/// error is the journal, with a time stamp otherwise. Standard output stays free for results. `level`: trace,
/// debug, info, warning, error, critical. `sink`: takes the lines instead of standard error, and formats them
/// itself. Call once from main, before any thread starts.
Result<> set_up_logging(const std::string& program, const std::string& level,
                        spdlog::sink_ptr sink = nullptr);

/// Changes the default logger's level. Errors: kInvalidArgument for a name that is none. Thread: any.
Result<> set_log_level(const std::string& level);

/// Whether what is written to standard error goes to journald: JOURNAL_STREAM names the very file that
/// standard error is (systemd.exec(5)). A program started by a service with a pipe or a file there is not
/// fooled.
bool standard_error_is_journal();

/// sd-daemon(3)'s number for a level: 3 for an error, 4 for a warning, …
int journal_priority(spdlog::level::level_enum level);

/// One field of a journal entry; people can ask for it: `journalctl HALOD_MODEL=demo`.
struct LogField {
  std::string_view name;  ///< A-Z, 0-9 and _; outlives the LogFields: a literal
  std::string value;      ///< an empty one is left out
};

/// What this thread logs while one of these lives carries the fields, where lines go to the journal;
/// elsewhere it changes nothing. They nest. Never keep one over a co_await: other work would log with it.
class LogFields {
 public:
  LogFields(std::initializer_list<LogField> fields);
  ~LogFields();
  LogFields(const LogFields&) = delete;
  LogFields& operator=(const LogFields&) = delete;

  /// Those of the calling thread, outermost first.
  static std::span<const LogField> current();

 private:
  size_t n_before_;
};

}  // namespace halod
