#!/usr/bin/env bash
# The store fails for a minute under a server that is asked at every door: the disk is full, another process holds
# SQLite's lock, the files may not be written. Answers go on and say that they are not recorded, the alarm is raised,
# and all is well by itself when the cause is gone. Writes bench/results/…-disk.md. See bench/README.md.
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/result.sh
. bench/long.sh

export MAINSTAY_TEST_SECONDS=${SECONDS_EACH:-60}
command="SECONDS_EACH=$MAINSTAY_TEST_SECONDS bench/disk.sh"
long_form disk "The store fails under load" \
  "| fault | lasted | answers meanwhile | of them not recorded, and said so | requests without an answer | median | worst | recorded again after | integrity_check, and all records that were promised |" \
  store_faults::on_a_full_disk_it_goes_on_answering \
  store_faults::locked_by_another_process_it_goes_on_answering \
  store_faults::a_database_that_may_no_longer_be_written_stops_no_answer
