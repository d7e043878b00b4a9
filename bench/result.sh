# What every measurement needs: programs, models, a work folder, and a result that names machine, versions and the state
# of the source. Sourced by the scripts.

models="${MODELS:-${CARGO_TARGET_DIR:-target}/test-data/models}"

# build PACKAGE…: each alone, as `./run` builds it. CARGO names another cargo, BUILD=no takes what is there.
build() {
  bin="${CARGO_TARGET_DIR:-target}/release"
  [ "${BUILD:-yes}" = yes ] || return 0
  local package
  for package in "$@"; do "${CARGO:-cargo}" build --release --locked -p "$package"; done
}

# build_examples NAME…: they are in $examples. With the features of the whole workspace, as `./test` builds them: a package
# alone has others, for which llama.cpp would be compiled once more.
build_examples() {
  examples="${CARGO_TARGET_DIR:-target}/release/examples"
  [ "${BUILD:-yes}" = yes ] || return 0
  "${CARGO:-cargo}" build --release --locked --workspace "${@/#/--example=}" >&2
}

# pull NAME: fetches a model to $models (a verified one is not fetched again).
pull() {
  build mainstay
  "$bin/mainstay" models pull --folder "$models" "$1" >&2
}

# work_folder: makes $work, which goes when the script ends.
work_folder() {
  work="$(mktemp -d)"
  trap 'rm -rf "$work"' EXIT
}

# result_header TITLE: what every result begins with.
result_header() {
  local changed=""
  git diff --quiet HEAD || changed=" with uncommitted changes"
  cat <<END
# $1

| | |
|---|---|
| when | $(date -u '+%Y-%m-%d %H:%M UTC') |
| machine | $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) cores, $(awk '/MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo) |
| kernel | $(uname -sr) |
| load before the run | $(cut -d' ' -f1-3 /proc/loadavg) |
| source | $(git rev-parse --short HEAD)$changed |
| compiler | $(rustc --version) |
END
}

# publish NAME: what a measurement wrote to $work/result becomes bench/results/…-NAME.md; one that failed leaves none.
# RESULTS names another folder, for a quick look.
publish() {
  local folder="${RESULTS:-bench/results}" result
  mkdir -p "$folder"
  result="$folder/$(date -u +%Y%m%d-%H%M%S)-$1.md"
  cp "$work/result" "$result"
  cat "$result"
  echo "written: $result" >&2
}
