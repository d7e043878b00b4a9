#!/usr/bin/env bash
# Measures one part of Mainstay alone and writes bench/results/…-PART.md. See bench/README.md.
#   bench/parts.sh commits       records made safe on disk per second, with 1, 16 and 64 writers
#   bench/parts.sh generation    the embedded engine: prompt and answer tokens per second, 1 and 2 threads
#   bench/parts.sh search        time of a search, and how well it finds, by words and hybrid
#   bench/parts.sh likeness      from which cosine on two questions may share an answer (DATA: further files, questions by intent)
#   bench/parts.sh answers       the suite of finance questions, asked of a running server (URL)
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/result.sh
part="${1:?usage: bench/parts.sh commits|generation|search|likeness|answers}"
model="${MODEL:-qwen2.5-coder-1.5b}"
cores=${CORES:-0-$(( $(nproc) - 1 ))}                              # CORES=0 pins to one core

# example NAME ARGUMENT…: runs an example.
example() {
  build_examples "$1"
  taskset -c "$cores" "$examples/$1" "${@:2}"
}

measure() {
  case $part in
    commits)
      # On one disk, with that disk's own fsync before and after: on virtual disks it changes within minutes.
      build bench
      folder="$(mktemp -d "$bin/../bench.XXXXXX")"
      fsync() { echo "fsync of 4 KiB: $("$bin/bench-load" fsync --folder "$folder")"; }
      fsync
      TMPDIR="$(cd "$folder" && pwd)" "${CARGO:-cargo}" bench --locked -p store --bench commits
      fsync
      rmdir "$folder" ;;
    generation)
      pull "$model"
      example generate "$models/$model"/*.gguf "How long may a bank hold a deposited check?" ;;
    search)
      pull all-minilm-l6-v2
      example calibration config/knowledge/finance "$models/all-minilm-l6-v2" ;;
    likeness)
      pull all-minilm-l6-v2
      # Unquoted: DATA names any number of files.
      # shellcheck disable=SC2086
      example likeness "$models/all-minilm-l6-v2" bench/likeness.jsonl bench/likeness-held-out.jsonl config/suites/finance*.jsonl ${DATA:-} ;;
    answers)
      build mainstay
      "$bin/mainstay" bench run --suite "${SUITE:-config/suites/finance.jsonl}" --url "${URL:-http://127.0.0.1:8080}" ;;
    *)
      echo "no such part: $part" >&2
      return 1 ;;
  esac
}

work_folder
{
  result_header "Part: $part"
  case $part in
    generation) echo "| model | $model |" ;;
    answers) echo "| suite | ${SUITE:-config/suites/finance.jsonl} |" ;;
  esac
  echo "| cores | $cores |"
  echo
  echo '```'
} >"$work/result"
measure >>"$work/result"
echo '```' >>"$work/result"
publish "$part"
