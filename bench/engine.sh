#!/usr/bin/env bash
# The embedded engine beside a plain C++ loop over the same llama.h and the same libraries, and beside other work.
# Writes bench/results/…-engine.md. See bench/README.md.
#   bench/engine.sh                        the default model, 3 rounds
#   MODEL=smollm2-135m ROUNDS=1 PROMPT=128 ANSWER=16 BESIDE=no bench/engine.sh      a quick look
#   CHECK=only bench/engine.sh             the smallest model: do both do the same work, does one of four starve? No figures
# FILE names a GGUF file in place of MODEL; SEQUENCES and THREADS the columns; BESIDE=no leaves out the other work.
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/result.sh
# How much longer than alone the first token of the last of four may take: the goal, or what holds on a busy machine.
first_at_most=5
if [ "${CHECK:-}" = only ]; then
  # One thread: two wait for each other at each step, and beside other work nearly for ever. Between two tokens of
  # the answers the engine reads prompts for half a second, so that the last of four begins before the first has ended.
  MODEL=smollm2-135m FILE="" ROUNDS=1 PROMPT=64 ANSWER=16 SEQUENCES="1 4" THREADS=1 BESIDE=no first_at_most=25
fi
model="${MODEL:-qwen2.5-coder-1.5b}"
rounds=${ROUNDS:-3} prompt=${PROMPT:-256} answer=${ANSWER:-48}
sequences=${SEQUENCES:-1 4} threads=${THREADS:-1 2}

cargo="${CARGO:-cargo}"
build_examples work beside
if [ -z "${FILE:-}" ]; then
  [ -d "$models/$model" ] || pull "$model"
  FILE="$(ls "$models/$model"/*.gguf)"
fi

# The sources and libraries of llama.cpp that the build used.
sources="$("$cargo" metadata --format-version 1 --locked | grep -o '"manifest_path":"[^"]*llama-cpp-sys-2[^"]*"' | cut -d'"' -f4)"
sources="$(dirname "$sources")/llama.cpp"
libraries="$("$cargo" build --release --locked --workspace --example work --message-format json 2>/dev/null |
  grep '"build-script-executed"' | grep 'llama-cpp-sys-2' | grep -o '"out_dir":"[^"]*"' | cut -d'"' -f4)/lib"
work_folder
g++ -O2 -std=c++17 bench/engine/loop.cpp -o "$work/loop" -I "$sources/include" -I "$sources/ggml/include" \
  -L "$libraries" -lllama -lggml -lggml-cpu -lggml-base -lpthread

# median FILE COLUMN
median() { awk -v column="$2" '{ print $column }' "$1" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# same_work FILE: what its last line did must be what was asked for.
same_work() {
  local did wanted="$((n_sequences * prompt)) $((n_sequences * answer))"
  did="$(tail -1 "$1" | cut -d' ' -f3,4)"
  if [ "$did" != "$wanted" ]; then
    echo "$(basename "$1") read and wrote $did tokens instead of $wanted" >&2
    return 1
  fi
}

# starved CELL: the worst first token, beside the first token of one alone, and the answers that had ended by then.
starved() {
  awk -v worst="$(median "$work/engine-$1" 5)" -v alone="$(median "$work/engine-${1%-*}-1" 1)" \
    -v ended="$(median "$work/engine-$1" 6)" -v most="$first_at_most" 'BEGIN {
      printf "first token of the last: %.1f × alone (asked: at most %d); answers that ended before it: %d (asked: 0)\n",
        worst / alone, most, ended
      exit !(worst > most * alone || ended > 0)
    }'
}

measure() {
  local round n_threads n_sequences cell
  for round in $(seq "$rounds"); do
    for n_threads in $threads; do
      for n_sequences in $sequences; do
        cell="$n_threads-$n_sequences"
        "$work/loop" "$FILE" "$n_threads" "$n_sequences" "$prompt" "$answer" >>"$work/loop-$cell"
        "$examples/work" "$FILE" "$n_threads" "$n_sequences" "$prompt" "$answer" >>"$work/engine-$cell"
        same_work "$work/loop-$cell"
        same_work "$work/engine-$cell"
        echo "round $round, threads $n_threads, sequences $n_sequences: loop $(tail -1 "$work/loop-$cell"), engine $(tail -1 "$work/engine-$cell")" >&2
      done
    done
  done
  echo "Prompts of $prompt tokens, answers of $answer; medians of $rounds rounds; tokens per second."
  echo "Answer: the C++ loop gives all answers their tokens together; the engine is timed while it does so, too. Its answers"
  echo "begin and end one after the other, which only the time of the whole work shows."
  echo "Asked: each ratio at least 0.95; the worst first token of four at once at most 5 × alone."
  echo
  echo "| threads | at once | prompt C++ | prompt engine | ratio | answer C++ | answer engine | ratio | whole: ratio | worst first token ms |"
  echo "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
  for n_threads in $threads; do
    for n_sequences in $sequences; do
      cell="$n_threads-$n_sequences"
      awk -v threads="$n_threads" -v n="$n_sequences" -v p="$prompt" -v d="$answer" \
        -v c1="$(median "$work/loop-$cell" 1)" -v c2="$(median "$work/loop-$cell" 2)" \
        -v e1="$(median "$work/engine-$cell" 1)" -v e2="$(median "$work/engine-$cell" 2)" \
        -v worst="$(median "$work/engine-$cell" 5)" -v step="$(median "$work/engine-$cell" 7)" 'BEGIN {
          cp = n * p / c1 * 1e6; ep = n * p / e1 * 1e6
          ca = n * (d - 1) / (c2 - c1) * 1e6; ea = n / step * 1e9
          printf "| %d | %d | %.1f | %.1f | %.3f | %.1f | %.1f | %.3f | %.3f | %.0f |\n",
            threads, n, cp, ep, ep / cp, ca, ea, ea / ca, c2 / e2, worst / 1000
        }'
    done
  done
  for n_threads in $threads; do
    if [ ! -f "$work/engine-$n_threads-1" ] || [ ! -f "$work/engine-$n_threads-4" ]; then continue; fi
    echo
    echo "Four at once, threads $n_threads: $(starved "$n_threads-4" || true)"
  done
  if [ "${BESIDE:-yes}" = yes ]; then
    echo
    echo "Beside processes that never stop, with two fixed threads and with as many as they leave:"
    echo
    "$examples/beside" "$FILE"
  fi
}

{
  result_header "The embedded engine"
  echo "| model file | $(basename "$FILE") |"
  echo "| libraries | $(basename "$(dirname "$sources")"), as the build made them |"
  echo
} >"$work/result"
measure >>"$work/result"
if [ "${CHECK:-}" = only ]; then
  if starved 1-4; then exit 1; fi
  echo "the same work on both sides, and none of four starves"
  exit
fi
publish engine
