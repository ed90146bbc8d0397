#!/bin/sh
# Fuzzes the readers of untrusted files: tests/fuzz/run.sh [SECONDS]. Exit status 1 when something was found.
#
# A finding is left in build/fuzz/findings: fix it, and keep the input (made small with `gguf_fuzz -minimize_crash=1`) in
# tests/fuzz/regressions, where every test run replays it. What was learnt stays in build/fuzz/corpus for the next run.
set -eu
seconds=${1:-60}
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
cmake --preset fuzz >/dev/null
cmake --build build/fuzz --target gguf_fuzz gguf_seeds -- -j2
mkdir -p build/fuzz/corpus build/fuzz/findings
build/fuzz/bin/gguf_seeds build/fuzz/seeds
# A small header must never lead to a large allocation: 64 MB in one piece or 512 MB in all count as findings.
exec build/fuzz/bin/gguf_fuzz -max_total_time="$seconds" -timeout=10 -rss_limit_mb=512 -malloc_limit_mb=64 -max_len=16384 \
  -dict=tests/fuzz/gguf.dict -print_final_stats=1 -artifact_prefix=build/fuzz/findings/ \
  build/fuzz/corpus build/fuzz/seeds tests/fuzz/regressions
