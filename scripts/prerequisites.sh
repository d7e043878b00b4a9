# What ./run and ./test need beside Rust; sourced by both. Installs on Debian and Ubuntu, explains elsewhere.

# As root, or by sudo.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# install PACKAGE…: with apt-get, or says what to install.
install() {
  if ! command -v apt-get >/dev/null; then
    echo "please install: $*" >&2
    exit 1
  fi
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# llama.cpp is C++ and its bindings are generated: compiler, cmake and libclang's headers.
need_build_tools() {
  if ! command -v cargo >/dev/null; then
    echo "please install Rust first: https://rustup.rs" >&2
    exit 1
  fi
  local missing=()
  command -v g++ >/dev/null || missing+=(g++)
  command -v make >/dev/null || missing+=(make)
  command -v cmake >/dev/null || missing+=(cmake)
  # The resource headers come with the -dev package only.
  ls /usr/lib/llvm-*/lib/libclang.so /usr/lib/x86_64-linux-gnu/libclang*.so >/dev/null 2>&1 || missing+=(libclang-dev)
  if [ ${#missing[@]} -gt 0 ]; then install "${missing[@]}"; fi
}

# What drives the SDKs: a Python with environments of its own, and certificates.
need_clients_tools() {
  local missing=()
  python3 -c "import ensurepip, venv" 2>/dev/null || missing+=(python3-venv)
  command -v openssl >/dev/null || missing+=(openssl)
  if [ ${#missing[@]} -gt 0 ]; then install "${missing[@]}"; fi
}

# Where no model hub can be reached, model files come out of Python packages.
need_python() {
  python3 -m pip --version >/dev/null 2>&1 || install python3 python3-pip
}

# need_promtool FOLDER: Prometheus' linter, unpacked there from its Debian package: installed, that would start a server.
need_promtool() {
  if ! command -v promtool >/dev/null && [ ! -x "$1/usr/bin/promtool" ]; then
    if ! command -v apt-get >/dev/null; then
      echo "please install: promtool (of Prometheus)" >&2
      exit 1
    fi
    mkdir -p "$1"
    (cd "$1" && { apt-get download -qq prometheus || { as_root apt-get update -qq && apt-get download -qq prometheus; }; } &&
      dpkg-deb -x prometheus_*.deb . && rm -f prometheus_*.deb usr/bin/prometheus)
  fi
  MAINSTAY_TEST_PROMTOOL="$(command -v promtool || echo "$1/usr/bin/promtool")"
  export MAINSTAY_TEST_PROMTOOL
}
