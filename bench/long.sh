# Runs tests of the real binary in their long form: the same code that ./test runs short. Sourced by the scripts.

# long_form NAME TITLE COLUMNS TEST…: runs the tests one after the other and writes bench/results/…-NAME.md; the tests
# write the rows of its table. A test that fails leaves no result.
long_form() {
  local name=$1 title=$2 columns=$3
  shift 3
  work_folder
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
  publish "$name"
}
