#!/usr/bin/env bash
# What many connections take: idle ones of each kind (HTTP/1.1, h2c, TLS), and 1,000 event streams at once. Writes
# bench/results/…-crowd.md; ends with 3 where a goal is missed. See bench/README.md.
#   CONNECTIONS=500 STREAMS=100 bench/crowd.sh     as a quick look
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/prerequisites.sh
. bench/result.sh
. bench/servers.sh

body='{"model":"mock/mock-1","messages":[{"role":"system","content":"You are the assistant of a bank. Answer in at most two sentences."},{"role":"user","content":"How long may a bank hold a deposited check before I can use the money?"}],"max_tokens":200}'

build mainstay bench
servers_folder
# Streams of about twenty seconds: all are open together.
mock "$every_core" 9121 --tokens 200 --gap-ms 100
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
  -addext "subjectAltName=DNS:localhost,IP:127.0.0.1" -addext "basicConstraints=critical,CA:FALSE" \
  -keyout "$work/tls.key" -out "$work/tls.crt" 2>/dev/null
tls="[server.tls]
listen = \"127.0.0.1:9123\"
certificate = \"$work/tls.crt\"
key = \"file::$work/tls.key\"
# What is measured is memory: no request of a thousand that begin at once is to be turned away.
[resilience.shedding]
latency_min = \"60s\"
queue_max = 4096
[resilience.bulkhead]
calls_max = 4096"
mainstay mainstay "$every_core" 9122 async "$tls"
ulimit -n "$(ulimit -Hn)"

{
  result_header "Crowd: what many connections take"
  echo "| how | resident memory of the process (/proc/PID/status), 3 s after the last of the connections was answered by \`/v1/chat/completions\`, less that before them; streams: the most that was seen while they were open |"
  echo
} >"$work/result"
code=0
"$bin/bench-crowd" --plain 127.0.0.1:9122 --tls 127.0.0.1:9123 --certificate "$work/tls.crt" --pid "${pid[mainstay]}" \
  --body "$body" --stream-body "${body%\}},\"stream\":true}" \
  --connections "${CONNECTIONS:-5000}" --streams "${STREAMS:-1000}" >>"$work/result" || code=$?
if [ "$code" != 0 ] && [ "$code" != 3 ]; then exit "$code"; fi
publish crowd
exit "$code"
