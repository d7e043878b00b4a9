#!/usr/bin/env bash
# Plants bugs in the code itself, in a copy of the tree, and shows that the simulation finds each; writes the result
# under bench/results/. (What only a power cut shows, a skipped fsync, is planted in the simulated disk: see
# crates/pipeline/tests/it/simulation/bugs.rs.)
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/result.sh

# Artefacts of another tree with the same files must not be taken for ours, nor ours for its.
target="$(mkdir -p "${CARGO_TARGET_DIR:-target}/mutants" && cd "${CARGO_TARGET_DIR:-target}/mutants" && pwd)"
copy="$(mktemp -d)"
trap 'git worktree remove --force "$copy/tree" >/dev/null 2>&1 || true; rm -rf "$copy"' EXIT
git worktree add --detach "$copy/tree" HEAD >/dev/null

# name | file | what is replaced | by what. Each text must stand there once.
mutants() {
  cat <<'TABLE'
two probes|crates/resilience/src/breaker.rs|State::HalfOpen { probe: Some(_), .. } => return Err(Refused::Probing),|
an open breaker lets calls through|crates/resilience/src/breaker.rs|State::Open { until } => return Err(Refused::Open { until: *until }),|State::Open { .. } => {}
a lost permit|crates/resilience/src/breakers.rs|self.settle(Outcome::Ignored);|
a retry after the first byte|crates/pipeline/src/steps/generate.rs|End::BrokenOff(reason) if !draft.is_released()|End::BrokenOff(reason)
a record written twice|crates/pipeline/src/relay/ledger.rs|self.is_closed = true;|
a record of a caller who left is lost|crates/pipeline/src/run/leaving.rs|parts.tasks.spawn_on(writing, &runtime);|drop((writing, &parts.tasks, runtime));
a reply before its record|crates/pipeline/src/steps/record.rs|let may_be_late = parts.config.durability == Durability::Async|let may_be_late = (parts.config.durability == Durability::Async \|\| parts.config.durability == Durability::Commit)
no retry budget|crates/routing/src/dispatch.rs|let why = if budgets.withdraw(target.provider.as_str()) {|let why = if budgets.withdraw(target.provider.as_str()) \|\| true {
a tier that takes all the time|crates/resilience/src/deadline.rs|let usable = self.remaining(now).saturating_sub(DEGRADED_RESERVE);|let usable = self.remaining(now) + DEGRADED_RESERVE;
a breaker forgotten over a restart|crates/resilience/src/breaker.rs|breaker.state = State::Open { until: now.after(left) };|breaker.state = State::Open { until: now.after(left - left) };
TABLE
}

result="$(result_file mutants)"
{
  result_header "Planted bugs"
  echo
  echo "| bug | found | by |"
  echo "|---|---|---|"
} >"$result"
missed=0
while IFS='|' read -r name file from to; do
  # A pipe within a text is written \|.
  to="${to//\\|/|}"
  git -C "$copy/tree" checkout -q -- .
  FROM="$from" TO="$to" perl -0pi -e '
    my ($from, $to) = @ENV{qw(FROM TO)};
    my $n = () = /\Q$from\E/g;
    die "`$from` stands in $ARGV $n times, not once\n" if $n != 1;
    s/\Q$from\E/$to/' "$copy/tree/$file"
  output="$copy/output"
  if (cd "$copy/tree" && CARGO_TARGET_DIR="$target" MAINSTAY_SEEDS="${SEEDS:-2000}" \
    "${CARGO:-cargo}" test --release --locked -p pipeline --test it simulation::every_seed >"$output" 2>&1); then
    found=NO by="" missed=$((missed + 1))
  elif grep -q '^seeds \[' "$output"; then
    found=yes
    by="$(sed -n '/broke promises:/{n;s/^ *//p;q}' "$output")"
  else
    tail -30 "$output" >&2
    echo "\`$name\` does not compile, or fails otherwise" >&2
    exit 1
  fi
  echo "| $name | $found | $by |" | tee -a "$result"
done < <(mutants)
cat "$result"
exit "$missed"
