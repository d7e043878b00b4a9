# The mock, Mainstay before it, and whatever else is measured: started, waited for, and ended with the script. Sourced by
# the scripts after result.sh.

started=()
declare -A pid                                                     # of what `start` started, by name
declare -A key                                                     # what `give_key` made, by name
every_core="0-$(( $(nproc) - 1 ))"

# servers_folder: makes $work on a real disk, as records are made safe there. It goes when the script ends, after what
# was started. To be called when $bin is known.
servers_folder() {
  work="$(mktemp -d "$(dirname "$bin")/bench.XXXXXX")"
  work="$(cd "$work" && pwd)"
  trap 'kill "${started[@]}" 2>/dev/null; wait; rm -rf "$work"' EXIT
}

# start NAME CORES COMMAND…: in the background; its pid is in pid[NAME], its output in $work/NAME.log.
start() {
  local name=$1 cores=$2
  shift 2
  taskset -c "$cores" "$@" >"$work/$name.log" 2>&1 &
  pid[$name]=$!
  started+=($!)
}

# wait_for URL: until it answers 200, half a minute at most.
wait_for() {
  for _ in $(seq 300); do
    if curl -fs -o /dev/null "$1"; then return; fi
    sleep 0.1
  done
  echo "nobody answers on $1; see:" >&2
  tail -n 5 "$work"/*.log >&2
  exit 1
}

# mock CORES PORT OPTION…: the model behind all that is measured.
mock() {
  mock_port=$2
  start mock "$1" "$bin/bench-mock" --listen "127.0.0.1:$2" "${@:3}"
  wait_for "http://127.0.0.1:$2/health"
}

# mainstay NAME CORES PORT DURABILITY [SETTINGS]: a server before the mock, with a configuration and data folder of its own
# ($work/NAME, $work/NAME-data), as it ships but for bench/mainstay.toml and SETTINGS.
mainstay() {
  "$bin/mainstay" init "$work/$1" >/dev/null
  sed "s/@durability@/$4/; s/:9101/:$mock_port/" bench/mainstay.toml >"$work/$1/mainstay.toml"
  printf '\n%s\n' "${5:-}" >>"$work/$1/mainstay.toml"
  start "$1" "$2" "$bin/mainstay" serve --config "$work/$1" --data "$work/$1-data" --listen "127.0.0.1:$3"
  wait_for "http://127.0.0.1:$3/health/ready"
}

# give_key NAME PORT: from now on that server wants a key. The one in key[NAME] has limits and a budget that are counted
# and never reached.
give_key() {
  local made="$bin/mainstay keys create --url http://127.0.0.1:$2 --json" owner
  owner=$($made --name owner --role owner | secret)
  key[$1]=$(MAINSTAY_KEY=$owner $made --name load --rate 1000000/s --burst 1000000 --tokens-per-minute 1000000000 \
    --parallel 10000 --budget 1000000/day | secret)
}
secret() { python3 -c 'import json, sys; print(json.load(sys.stdin)["key"])'; }
