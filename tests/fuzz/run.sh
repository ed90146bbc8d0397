#!/bin/sh
# Fuzzes the readers of untrusted files, a third of the time each: tests/fuzz/run.sh [SECONDS]. Exit status 1 when something was found.
#
# A finding is left in build/fuzz/findings: fix it, and keep the input (made small with `gguf_fuzz -minimize_crash=1`) in
# tests/fuzz/regressions (of GGUF files), where every test run replays it, or as a case of the reader's test. What was learnt stays in
# build/fuzz/corpus for the next run.
set -eu
seconds=${1:-60}
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
cmake --preset fuzz >/dev/null
cmake --build build/fuzz --target gguf_fuzz gguf_seeds safetensors_fuzz safetensors_seeds text_fuzz text_seeds -- -j2
mkdir -p build/fuzz/corpus build/fuzz/corpus-safetensors build/fuzz/corpus-text build/fuzz/findings
build/fuzz/bin/gguf_seeds build/fuzz/seeds
build/fuzz/bin/safetensors_seeds build/fuzz/seeds-safetensors
build/fuzz/bin/text_seeds build/fuzz/seeds-text
# A small header must never lead to a large allocation: 64 MB in one piece or 512 MB in all count as findings.
fuzz() {
  fuzzer=$1
  shift
  "build/fuzz/bin/$fuzzer" -max_total_time=$((seconds / 3)) -timeout=10 -rss_limit_mb=512 -malloc_limit_mb=64 -max_len=16384 \
    -print_final_stats=1 -artifact_prefix=build/fuzz/findings/ "$@"
}
fuzz gguf_fuzz -dict=tests/fuzz/gguf.dict build/fuzz/corpus build/fuzz/seeds tests/fuzz/regressions
fuzz safetensors_fuzz build/fuzz/corpus-safetensors build/fuzz/seeds-safetensors
# Templates may make 256 MiB of text (runtime/text/jinja/budget.h); the last of two options counts.
fuzz text_fuzz -timeout=30 -rss_limit_mb=1024 -malloc_limit_mb=300 build/fuzz/corpus-text build/fuzz/seeds-text
