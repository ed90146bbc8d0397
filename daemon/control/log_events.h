// MESSAGE_ID and fields of the log lines that other programs look for: `journalctl MESSAGE_ID=…`. What they
// mean to people stands in packaging/systemd/halod.catalog. Never change an id: it is an interface.
#pragma once

#include <string_view>

namespace halod::log_events {

/// Names of fields, for LogFields (base/log.h).
constexpr std::string_view kMessageId = "MESSAGE_ID";
constexpr std::string_view kJob = "HALOD_JOB";             ///< a JobId
constexpr std::string_view kJobState = "HALOD_JOB_STATE";  ///< done, cancelled, failed
constexpr std::string_view kModel = "HALOD_MODEL";         ///< its name
constexpr std::string_view kRequest = "HALOD_REQUEST";     ///< of HTTP, as in the x-request-id header
constexpr std::string_view kEnginePid = "HALOD_ENGINE_PID";

/// Values of MESSAGE_ID.
constexpr const char* kJobEnded = "791a2f62b13d4fd7bf67ed919d64c81f";
constexpr const char* kEngineDied = "ac3f70612dcf4c81a75007e4999dc8f2";
constexpr const char* kModelLoaded = "966ceedfdf3e4d399187c68945155cb8";

}  // namespace halod::log_events
