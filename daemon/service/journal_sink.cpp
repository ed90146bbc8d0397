#include "daemon/service/journal_sink.h"

#include <fmt/format.h>
#include <spdlog/sinks/base_sink.h>
#include <sys/uio.h>

// The place in this file where entries are sent from tells nobody anything.
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include <cstdio>
#include <mutex>
#include <utility>
#include <vector>

#include "base/log.h"

namespace halod {
namespace {

class JournalSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit JournalSink(std::string identifier) : identifier_(std::move(identifier)) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    const std::string_view text(message.payload.data(), message.payload.size());
    const int priority = journal_priority(message.level);
    std::vector<std::string> fields{fmt::format("MESSAGE={}", text), fmt::format("PRIORITY={}", priority),
                                    fmt::format("SYSLOG_IDENTIFIER={}", identifier_)};
    for (const LogField& field : LogFields::current()) {
      if (!field.value.empty()) fields.push_back(fmt::format("{}={}", field.name, field.value));
    }
    std::vector<iovec> vectors;
    for (std::string& field : fields) vectors.push_back({field.data(), field.size()});
    if (::sd_journal_sendv(vectors.data(), static_cast<int>(vectors.size())) < 0)
      fmt::print(stderr, "<{}>{}\n", priority, text);
  }
  void flush_() override {}

  std::string identifier_;
};

}  // namespace

spdlog::sink_ptr make_journal_sink(const std::string& identifier) {
  return std::make_shared<JournalSink>(identifier);
}

}  // namespace halod
