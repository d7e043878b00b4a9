#!/usr/bin/env bash
# kill -9 under load, 20 rounds on the same data, and 20 power cuts (only what was synced is left): nothing acknowledged
# is lost, nothing stands twice. Then two planted bugs that the same check must see: records written after the reply, and
# syncs that are skipped. Writes bench/results/…-crash.md. See bench/README.md.
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/result.sh
. bench/long.sh

export MAINSTAY_TEST_ROUNDS=${ROUNDS:-20}
command="ROUNDS=$MAINSTAY_TEST_ROUNDS bench/crash.sh"
long_form crash "kill -9 under load" \
  "| round | end | acknowledged, new | feedback acknowledged, all | lost | twice | ready again after | integrity_check |" \
  loss::nothing_acknowledged_is_lost_by_kill_9_at_any_door \
  loss::what_cannot_be_written_is_not_acknowledged \
  loss::nothing_acknowledged_is_lost_by_a_power_cut \
  loss::records_written_after_the_reply_are_lost_and_seen_to_be \
  loss::a_skipped_sync_loses_records_and_is_seen_to \
  crash::what_was_answered_survives_kill_9_and_nothing_stands_twice
