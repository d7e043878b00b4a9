#!/usr/bin/env bash
# Plays 10,000 seeded outages (SEEDS) against the pipeline and writes what came of them under bench/results/.
# SEED=N plays one seed and prints all that happens in it.
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/result.sh

play() { "${CARGO:-cargo}" test --release --locked -p pipeline --test it "$@"; }

if [ -n "${SEED:-}" ]; then
  MAINSTAY_SEED="$SEED" MAINSTAY_TRACE=1 play simulation::every_seed -- --nocapture
  exit
fi

seeds="${SEEDS:-10000}"
play --no-run
work_folder
{
  result_header "Simulation: $seeds seeds"
  echo
} >"$work/result"
SECONDS=0
status=0
MAINSTAY_SEEDS="$seeds" play simulation:: -- --nocapture >"$work/output" 2>&1 || status=$?
{
  echo "Took $SECONDS s on $(nproc) cores, the tests of repeated seeds and planted bugs included."
  echo
  echo '```'
  # Of a seed that failed: what it broke, what it decided, and how to play it again.
  sed -n -e '/^simulation: /p' -e '/is found by seed/p' -e '/^seeds \[/,/^Play it again/p' -e '/^test .*\.\.\. /p' -e '/^test result/p' "$work/output"
  echo '```'
} >>"$work/result"
publish simulation
exit "$status"
