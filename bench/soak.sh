#!/usr/bin/env bash
# The soak: 1,080,000 requests in 20 minutes, 95 % for a bare model and 5 % through /generate, before the mock. Memory,
# open files and waits must stay what they are. Writes bench/results/…-soak.md. See bench/README.md.
#   SECONDS_EACH=180 SETTLED=60 bench/soak.sh     a look at it
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/result.sh

seconds=${SECONDS_EACH:-1200}
settled=${SETTLED:-300}
rate=${RATE:-900}
durability=${DURABILITY:-commit}

build mainstay bench
work="$(mktemp -d "$(dirname "$bin")/bench.XXXXXX")"               # on a real disk: records are made safe here
work="$(cd "$work" && pwd)"
started=()
trap 'kill "${started[@]}" 2>/dev/null; wait; rm -rf "$work"' EXIT

wait_for() {
  for _ in $(seq 300); do
    if curl -fs -o /dev/null "$1"; then return; fi
    sleep 0.1
  done
  echo "nobody answers on $1" >&2
  tail -n 5 "$work"/*.log >&2
  exit 1
}

"$bin/bench-mock" --listen 127.0.0.1:9121 >"$work/mock.log" 2>&1 &
started+=($!)
"$bin/mainstay" init "$work/config" >/dev/null
sed "s/@durability@/$durability/; s/:9101/:9121/" bench/mainstay.toml >"$work/config/mainstay.toml"
"$bin/mainstay" serve --config "$work/config" --data "$work/data" --listen 127.0.0.1:9124 >"$work/mainstay.log" 2>&1 &
pid=$!
started+=("$pid")
wait_for http://127.0.0.1:9121/health
wait_for http://127.0.0.1:9124/health/ready

question='How long may a bank hold a deposited check before I can use the money, and when may it hold one longer?'
chat="{\"model\":\"mock/mock-1\",\"messages\":[{\"role\":\"user\",\"content\":\"$question\"}],\"max_tokens\":200}"
prompt="{\"prompt\":\"$question\",\"use_case\":\"account_inquiry\"}"
{
  result_header "Soak: $rate requests a second for $seconds s"
  echo "| load | open loop, each wait from when its request was due; 95 % POST /v1/chat/completions with a bare model, 5 % POST /generate; driver, mock and server share the cores |"
  echo "| on | shipped settings with \`--model none\`, records \`$durability\`, log at its default level to a file |"
  echo "| compared | after $settled s |"
} >"$work/result"
met=0
"$bin/bench-soak" --url http://127.0.0.1:9124 --pid "$pid" --chat "$chat" --generate "$prompt" --rate "$rate" \
  --seconds "$seconds" --settled "$settled" >>"$work/result" || met=$?
if [ "$met" -ne 0 ] && [ "$met" -ne 3 ]; then                        # 3: measured, and a goal is missed
  tail -n 5 "$work/mainstay.log" >&2
  exit "$met"
fi
{
  echo
  echo "| afterwards | |"
  echo "|---|---|"
  echo "| database | $(du -sm "$work/data" | cut -f1) MiB |"
  echo "| lines at ERROR or WARN in the log | $(grep -cE ' (ERROR|WARN) ' "$work/mainstay.log" || true) |"
} >>"$work/result"
result="$(result_file soak)"
cp "$work/result" "$result"
cat "$result"
echo "written: $result" >&2
exit "$met"
