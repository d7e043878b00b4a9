#!/usr/bin/env bash
# SIGTERM under load with 50 open event streams, 20 rounds: no accepted request dropped, streams end well or with an
# error event, exit code 0 within 35 s. Writes bench/results/…-drain.md. See bench/README.md.
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/result.sh
. bench/long.sh

export MAINSTAY_TEST_ROUNDS=${ROUNDS:-20}
command="ROUNDS=$MAINSTAY_TEST_ROUNDS bench/drain.sh"
long_form drain "SIGTERM under load with 50 open event streams" \
  "| round | drain time | answered whole | told that it stops | broken off | reset unseen as the port closed | seen not ready | from start to exit | exit after the last reply | exit code |" \
  drain::told_to_stop_under_load_with_50_streams_it_drops_nothing
