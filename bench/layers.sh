#!/usr/bin/env bash
# Where the CPU of a request goes, layer by layer: samples Mainstay with perf while it relays a bare model's answers
# to 16 connections on one core. Writes bench/results/…-layers.md. See bench/README.md.
#   DURABILITY=commit bench/layers.sh      with records on disk before each reply
#   LOAD=stream bench/layers.sh            event streams of 200 tokens, each frame counted
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/prerequisites.sh
. bench/result.sh
. bench/servers.sh

seconds=${SECONDS_EACH:-10}
durability=${DURABILITY:-async}
load=${LOAD:-closed}
gateway_core=${GATEWAY_CORE:-0}
load_core=${LOAD_CORE:-$(( $(nproc) > 1 ? 1 : 0 ))}
url=http://127.0.0.1:9114/v1/chat/completions
body='{"model":"mock/mock-1","messages":[{"role":"system","content":"You are the assistant of a bank. Answer in at most two sentences."},{"role":"user","content":"How long may a bank hold a deposited check before I can use the money?"}],"max_tokens":200}'
expected=()
if [ "$load" = stream ]; then body="${body%\}},\"stream\":true}" expected=(--frames 203); fi

command -v perf >/dev/null || install linux-perf
build mainstay bench
servers_folder
mock "$load_core" 9111 --tokens 200
mainstay mainstay "$gateway_core" 9114 "$durability"
give_key mainstay 9114
server=${pid[mainstay]}

load() {
  taskset -c "$load_core" "$bin/bench-load" "$load" --name mainstay --round 1 --url "$url" --body "$body" \
    --connections 16 --seconds "$seconds" --pid "$server" --header "authorization: Bearer ${key[mainstay]}" \
    "${expected[@]}"
}

load >"$work/lines"                                                # undisturbed: what a request costs
load >"$work/sampled" &
driver=$!
# Stacks by their unwinding tables: frame pointers would need another build of everything.
perf record -q -F 499 --call-graph dwarf,16384 -p "$server" -o "$work/perf.data" -- sleep "$((seconds - 1))" >/dev/null 2>&1
wait "$driver"
perf script -i "$work/perf.data" -F comm,ip,sym --no-inline 2>/dev/null >"$work/stacks"

{
  result_header "Layers: where the CPU of a relayed request goes"
  echo "| records | $durability |"
  echo "| load | $load |"
  echo "| how | samples of the process at 499 Hz, each counted for the innermost layer in its stack |"
  echo
  python3 bench/layers.py "$work/stacks" "$work/lines"
} >"$work/result"
publish layers
