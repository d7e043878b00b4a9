#!/usr/bin/env bash
# The soak: 1,080,000 requests in 20 minutes, 95 % for a bare model and 5 % through /generate, before the mock. Memory,
# open files and waits must stay what they are. Writes bench/results/…-soak.md. See bench/README.md.
#   SECONDS_EACH=180 SETTLED=60 bench/soak.sh     a look at it
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/result.sh
. bench/servers.sh

seconds=${SECONDS_EACH:-1200}
settled=${SETTLED:-300}
rate=${RATE:-900}
durability=${DURABILITY:-commit}

build mainstay bench
servers_folder
mock "$every_core" 9121
mainstay mainstay "$every_core" 9124 "$durability"

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
"$bin/bench-soak" --url http://127.0.0.1:9124 --pid "${pid[mainstay]}" --chat "$chat" --generate "$prompt" --rate "$rate" \
  --seconds "$seconds" --settled "$settled" >>"$work/result" || met=$?
if [ "$met" -ne 0 ] && [ "$met" -ne 3 ]; then                        # 3: measured, and a goal is missed
  tail -n 5 "$work/mainstay.log" >&2
  exit "$met"
fi
{
  echo
  echo "| afterwards | |"
  echo "|---|---|"
  echo "| database | $(du -sm "$work/mainstay-data" | cut -f1) MiB |"
  echo "| lines at ERROR or WARN in the log | $(grep -cE ' (ERROR|WARN) ' "$work/mainstay.log" || true) |"
} >>"$work/result"
publish soak
exit "$met"
