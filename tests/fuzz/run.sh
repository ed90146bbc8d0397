#!/bin/sh
# Fuzzes the readers of untrusted files side by side, each for SECONDS: tests/fuzz/run.sh [SECONDS [SEED]]. Exit status 1 when something was
# found. Without a seed every run tries other inputs; the test command gives one, so that a change is judged by the same inputs as the one before.
#
# A finding is left in build/fuzz/findings: fix it, and keep the input (made small with `gguf_fuzz -minimize_crash=1`) in
# tests/fuzz/regressions (of GGUF files), where every test run replays it, or as a case of the reader's test. What was learnt stays in
# build/fuzz/corpus-* for the next run.
set -eu
seconds=${1:-60}
seed=${2:-0}  # libFuzzer's word for one of its own
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
readers="gguf safetensors text"
cmake --preset fuzz >/dev/null
# shellcheck disable=SC2046 # a list of targets
cmake --build build/fuzz --target $(for reader in $readers; do echo "${reader}_fuzz" "${reader}_seeds"; done) -- -j2
mkdir -p build/fuzz/findings

# A small header must never lead to a large allocation: 64 MB in one piece or 512 MB in all count as findings. Templates may make 256 MiB of
# text (runtime/text/jinja/budget.h).
fuzz() {
  reader=$1
  limits="-timeout=10 -rss_limit_mb=512 -malloc_limit_mb=64"
  [ "$reader" != text ] || limits="-timeout=30 -rss_limit_mb=1024 -malloc_limit_mb=300"
  mkdir -p "build/fuzz/corpus-$reader"
  "build/fuzz/bin/${reader}_seeds" "build/fuzz/seeds-$reader"
  set -- "build/fuzz/corpus-$reader" "build/fuzz/seeds-$reader"
  [ "$reader" != gguf ] || set -- "$@" tests/fuzz/regressions
  [ ! -f "tests/fuzz/$reader.dict" ] || set -- "-dict=tests/fuzz/$reader.dict" "$@"
  # shellcheck disable=SC2086 # a list of options
  "build/fuzz/bin/${reader}_fuzz" -max_total_time="$seconds" -seed="$seed" $limits -max_len=16384 -print_final_stats=1 \
    -artifact_prefix="build/fuzz/findings/$reader-" "$@" >"build/fuzz/$reader.log" 2>&1
}

pids=
for reader in $readers; do
  fuzz "$reader" &
  pids="$pids $!"
done
status=0
for pid in $pids; do wait "$pid" || status=1; done
for reader in $readers; do
  echo "--- $reader (all of it in build/fuzz/$reader.log)"
  tail -n 40 "build/fuzz/$reader.log"
done
exit $status
