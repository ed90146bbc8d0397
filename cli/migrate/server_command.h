// Command lines of llama-server, as llama-swap's configuration has them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "cli/migrate/migration.h"

namespace halod::cli {

/// The words of a command: quotes, backslashes, and lines that begin with '#', as a shell takes them; nothing
/// is expanded. Errors: kInvalidArgument for a quote that is not closed. Thread: any.
Result<std::vector<std::string>> split_command(std::string_view command);

/// Puts what the words say into `model`: path, context, aliases, sampling; a note for everything that halod
/// has no equivalent for, and none for what it does by itself. Words before llama-server (env, docker run)
/// are noted. Leaves the path empty, with the reason in a note, where there is no llama-server or no file.
/// Thread: any.
void read_server_command(const std::vector<std::string>& words, MigratedModel& model);

}  // namespace halod::cli
