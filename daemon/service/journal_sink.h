// Log lines as journal entries with fields of their own.
#pragma once

#include <spdlog/common.h>

#include <string>

namespace halod {

/// Sends each line straight to journald, with its level as PRIORITY and the LogFields of the thread that
/// logs; a line that journald does not take goes to standard error, so it comes exactly once. For
/// set_up_logging(), where standard_error_is_journal(). `identifier` becomes SYSLOG_IDENTIFIER. Thread: any.
spdlog::sink_ptr make_journal_sink(const std::string& identifier);

}  // namespace halod
