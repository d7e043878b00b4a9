#!/usr/bin/env bash
# What Mainstay costs between a client and a model: direct, nginx as a plain proxy, a bare hyper pass-through and
# Mainstay in one run, each on one core, medians of 5 rounds. Writes bench/results/…-gateway.md. See bench/README.md.
#   ROUNDS=1 SECONDS_EACH=2 bench/gateway.sh      a quick look
#   TARGETS="proxy mainstay" bench/gateway.sh     some targets alone
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/prerequisites.sh
. bench/result.sh
. bench/servers.sh

rounds=${ROUNDS:-5}
seconds=${SECONDS_EACH:-10}
rate=${RATE:-1000}
guarded_rate=${GUARDED_RATE:-500}                                  # of generate, which one core does 570 times a second
targets=${TARGETS:-direct nginx proxy mainstay mainstay-traced mainstay-translated mainstay-commit generate}
gateway_core=${GATEWAY_CORE:-0}                                    # what is measured
load_core=${LOAD_CORE:-$(( $(nproc) > 1 ? 1 : 0 ))}                # driver and mock

build mainstay bench
servers_folder
declare -A url body frames end head_frames

# behave JSON: tells the mock how to answer from now on.
behave() { curl -fsS -o /dev/null -H 'content-type: application/json' -d "$1" http://127.0.0.1:9101/control; }

# load KIND NAME OPTION…: one measurement, its figures to the lines of this run.
load() {
  local kind=$1 name=$2 watched=()
  shift 2
  if [ -n "${pid[$name]:-}" ]; then watched=(--pid "${pid[$name]}"); fi
  if [ -n "${key[$name]:-}" ]; then watched+=(--header "authorization: Bearer ${key[$name]}"); fi
  taskset -c "$load_core" "$bin/bench-load" "$kind" --name "$name" --round "$round" --url "${url[$name]}" \
    --seconds "$seconds" "${watched[@]}" "$@" >>"$work/lines"
}

question='How long may a bank hold a deposited check before I can use the money, and when may it hold one longer?'
system='You are the assistant of a bank. Answer in at most two sentences, from what you were given, and say so when it is not enough.'
chat="{\"model\":\"mock/mock-1\",\"messages\":[{\"role\":\"system\",\"content\":\"$system\"},{\"role\":\"user\",\"content\":\"$question\"}],\"max_tokens\":200,\"temperature\":0.2}"
prompt="{\"prompt\":\"$question\",\"use_case\":\"account_inquiry\"}"
streamed="${chat%\}},\"stream\":true}"

# ask BODY TARGET: the reply's body.
ask() {
  curl -fsS -H 'content-type: application/json' ${key[$2]:+-H "authorization: Bearer ${key[$2]}"} -d "$1" "${url[$2]}"
}

mock "$load_core" 9101
url[direct]=http://127.0.0.1:9101/v1/chat/completions
{ ask "$chat" direct && ask "$streamed" direct; } >"$work/direct.reply"
nginx="not measured"
measured=() exact=()
for target in $targets; do
  # Of 200 tokens there are as many frames, and these around them.
  body[$target]=$chat frames[$target]=3 head_frames[$target]=1 end[$target]='data: [DONE]'
  case $target in
    direct) ;;
    proxy)
      start proxy "$gateway_core" "$bin/bench-proxy"
      url[$target]=http://127.0.0.1:9102/v1/chat/completions
      wait_for http://127.0.0.1:9102/health ;;
    nginx)
      if ! command -v nginx >/dev/null && ! (install nginx-light); then
        nginx="left out: it is not installed and could not be"
        echo "nginx is $nginx" >&2
        continue
      fi
      start nginx "$gateway_core" nginx -p "$work" -c "$PWD/bench/nginx.conf" -e stderr
      url[$target]=http://127.0.0.1:9103/v1/chat/completions
      nginx=$(nginx -v 2>&1 | sed 's/.*: //')
      wait_for http://127.0.0.1:9103/health ;;
    mainstay)
      mainstay mainstay "$gateway_core" 9104 async
      give_key mainstay 9104
      url[$target]=http://127.0.0.1:9104/v1/chat/completions ;;
    mainstay-traced)       # every request a trace, sent to a collector
      mainstay mainstay-traced "$gateway_core" 9109 async '[telemetry]
endpoint = "http://127.0.0.1:9101"'
      give_key mainstay-traced 9109
      url[$target]=http://127.0.0.1:9109/v1/chat/completions ;;
    mainstay-translated)   # the caller speaks Anthropic's dialect, the provider OpenAI's
      mainstay mainstay-translated "$gateway_core" 9108 async
      give_key mainstay-translated 9108
      url[$target]=http://127.0.0.1:9108/v1/messages
      body[$target]="{\"model\":\"mock/mock-1\",\"system\":\"$system\",\"messages\":[{\"role\":\"user\",\"content\":\"$question\"}],\"max_tokens\":200,\"temperature\":0.2}"
      frames[$target]=5 head_frames[$target]=2 end[$target]='event: message_stop' ;;
    mainstay-commit)
      mainstay mainstay-commit "$gateway_core" 9105 commit
      give_key mainstay-commit 9105
      url[$target]=http://127.0.0.1:9105/v1/chat/completions ;;
    generate)   # the guarded path: guards, search and checks around the same call
      mainstay generate "$gateway_core" 9106 async
      url[$target]=http://127.0.0.1:9106/generate
      body[$target]=$prompt ;;
    *) echo "no such target: $target" >&2; exit 1 ;;
  esac
  stream="${body[$target]%\}},\"stream\":true}"
  if [ "$target" = generate ]; then stream=$prompt; fi
  { ask "${body[$target]}" "$target" && ask "$stream" "$target"; } >"$work/$target.reply" ||
    { echo "$target does not answer on ${url[$target]}" >&2; exit 1; }
  if cmp -s "$work/direct.reply" "$work/$target.reply"; then exact+=("$target"); fi
  measured+=("$target")
done

{
  result_header "Gateway: what it costs between a client and a model"
  cat <<EOF
| nginx | $nginx |
| cores | measured process on core $gateway_core, driver and mock on core $load_core |
| runs | $rounds rounds of $seconds s for each figure; medians; spread = (most − least) / median of the figure compared first; beside the proxy = median of the rounds' own ratios or differences |
| on | all: HTTP/1.1 keep-alive, TCP_NODELAY, no TLS. Mainstay: shipped settings with \`--model none\`, metrics, log at its default level to a file, records and cost ledger kept (async; \`mainstay-commit\`: on disk before the reply), a key with limits and a budget that are counted and not reached (but for \`generate\`). \`mainstay-traced\`: OpenTelemetry on, every request a trace (those too many for its queue are dropped and counted). \`mainstay-translated\`: the caller speaks Anthropic's dialect, the provider OpenAI's. \`generate\`: POST /generate, guarded, agent account_inquiry |
| byte for byte the mock's own replies, JSON and event stream | ${exact[*]:-none} |
| CPU | user and system time of the process, its threads and children (/proc/PID/stat, steps of 10 ms) for each request or token |
EOF
} >"$work/result"

for round in $(seq "$rounds"); do
  echo "round $round of $rounds: ${measured[*]}" >&2
  "$bin/bench-load" fsync --folder "$work" --round "$round" >>"$work/lines"
  if [ -d "$work/mainstay" ]; then
    taskset -c "$gateway_core" "$bin/bench-load" start --name mainstay --round "$round" \
      --url http://127.0.0.1:9107/health/live -- "$bin/mainstay" serve --config "$work/mainstay" \
      --data "$work/cold-$round" --listen 127.0.0.1:9107 2>"$work/start.log" >>"$work/lines"
  fi
  behave '{}'
  for name in "${measured[@]}"; do load closed "$name" --body "${body[$name]}" --connections 16; done
  for name in "${measured[@]}"; do
    steady=$rate
    if [ "$name" = generate ]; then steady=$guarded_rate; fi
    load open "$name" --body "${body[$name]}" --connections 64 --rate "$steady"
  done
  for name in "${measured[@]}"; do
    if [ "$name" = generate ]; then continue; fi                   # its streams are not the provider's
    stream="${body[$name]%\}},\"stream\":true}"
    ends=(--head-frames "${head_frames[$name]}" --end "${end[$name]}")
    behave '{"tokens": 200}'
    load stream "$name" --body "$stream" --connections 32 --frames $((200 + ${frames[$name]})) "${ends[@]}"
    behave '{"tokens": 64, "gap_ms": 10}'
    load stream "$name" --body "$stream" --connections 50 --frames $((64 + ${frames[$name]})) --load paced "${ends[@]}"
  done
done

"$bin/bench-report" "$work/lines" >>"$work/result"
publish gateway
