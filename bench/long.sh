# Runs tests of the real binary in their long form: the same code that ./test runs short. Sourced by the scripts.

# long_form NAME TITLE COLUMNS TEST…: runs the tests one after the other and writes bench/results/…-NAME.md; the tests
# write the rows of its table. A test that fails leaves no result.
long_form() {
  local name=$1 title=$2 columns=$3 work result
  shift 3
  work="$(mktemp -d)"
  # shellcheck disable=SC2064
  trap "rm -rf '$work'" EXIT
  {
    result_header "$title"
    echo "| command | \`$command\` |"
    echo
    echo "$columns"
    echo "$columns" | sed 's/[^|]/-/g'
  } >"$work/result"
  MAINSTAY_TEST_FIGURES="$work/rows" "${CARGO:-cargo}" test --release --locked -p mainstay --test it -- \
    --test-threads 1 --exact "$@" >&2
  cat "$work/rows" >>"$work/result"
  result="$(result_file "$name")"
  cp "$work/result" "$result"
  cat "$result"
  echo "written: $result" >&2
}
