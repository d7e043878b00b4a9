# Where results go and what stands above each: machine, versions, state of the source. Sourced by the scripts.

# build PACKAGE…: each alone, as `./run` builds it. CARGO names another cargo, BUILD=no takes what is there.
build() {
  bin="${CARGO_TARGET_DIR:-target}/release"
  [ "${BUILD:-yes}" = yes ] || return 0
  local package
  for package in "$@"; do "${CARGO:-cargo}" build --release --locked -p "$package"; done
}

# result_file NAME: the path of a new result.
result_file() {
  mkdir -p bench/results
  echo "bench/results/$(date -u +%Y%m%d-%H%M%S)-$1.md"
}

# result_header TITLE: what every result begins with.
result_header() {
  local changed=""
  git diff --quiet HEAD || changed=" with uncommitted changes"
  cat <<EOF
# $1

| | |
|---|---|
| when | $(date -u '+%Y-%m-%d %H:%M UTC') |
| machine | $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) cores, $(awk '/MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo) |
| kernel | $(uname -sr) |
| load before the run | $(cut -d' ' -f1-3 /proc/loadavg) |
| source | $(git rev-parse --short HEAD)$changed |
| compiler | $(rustc --version) |
EOF
}
