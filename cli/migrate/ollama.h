// Ollama's store: manifests, which are JSON, and blobs, of which some are GGUF files.
#pragma once

#include <filesystem>

#include "base/error.h"
#include "cli/migrate/migration.h"

namespace halod::cli {

/// Where Ollama keeps its models: OLLAMA_MODELS, else that of its service, else that of this user. Thread:
/// any.
std::filesystem::path usual_ollama_folder();

/// `folder`: that with manifests/ and blobs/ in it, or one with models/ that has them. Errors: kNotFound
/// without manifests. What is damaged becomes a note of its model. Thread: any.
Result<Migration> migrate_ollama(const std::filesystem::path& folder);

}  // namespace halod::cli
