#!/usr/bin/env bash
# Plants bugs in the code itself, one after the other in a copy of the tree, and shows that the simulation finds each;
# writes bench/results/…-mutants.md. See bench/README.md. (What only a power cut shows, a skipped fsync, is planted in
# the simulated disk: see crates/pipeline/tests/it/simulation/bugs.rs.)
#   CHECK=only bench/mutants.sh      only looks whether each bug can still be planted in the source as it stands
#   ONLY=permit bench/mutants.sh     the bugs with this in their name
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/result.sh

# name | file | what is replaced | by what. Each text must stand there once. By crate, as those above it are built again.
mutants() {
  grep -F -- "${ONLY:-}" <<'TABLE'
two probes|crates/resilience/src/breaker.rs|State::HalfOpen { probe: Some(_), .. } => return Err(Refused::Probing),|
an open breaker lets calls through|crates/resilience/src/breaker.rs|State::Open { until } => return Err(Refused::Open { until: *until }),|State::Open { .. } => {}
a breaker forgotten over a restart|crates/resilience/src/breaker.rs|breaker.state = State::Open { until: now.after(left) };|breaker.state = State::Open { until: now.after(left - left) };
a lost permit|crates/resilience/src/breakers/permit.rs|self.settle(Outcome::Ignored);|
a tier that takes all the time|crates/resilience/src/deadline.rs|let usable = self.remaining(now).saturating_sub(DEGRADED_RESERVE);|let usable = self.remaining(now) + DEGRADED_RESERVE;
no retry budget|crates/routing/src/dispatch/candidate.rs|let why = if budgets.withdraw(&budget(target)) {|let why = if budgets.withdraw(&budget(target)) \|\| true {
a retry after the first byte|crates/pipeline/src/steps/generate.rs|End::BrokenOff(reason) if !draft.is_released()|End::BrokenOff(reason)
a record written twice|crates/pipeline/src/relay/ledger.rs|self.is_closed = true;|
a record of a caller who left is lost|crates/pipeline/src/run/leaving.rs|parts.tasks.spawn_on(writing, &runtime);|drop((writing, &parts.tasks, runtime));
a reply before its record|crates/pipeline/src/steps/record.rs|let may_be_late = parts.config.durability == Durability::Async|let may_be_late = (parts.config.durability == Durability::Async \|\| parts.config.durability == Durability::Commit)
TABLE
}

# plant ROOT FILE FROM TO: in the tree at ROOT, or just looks whether it could where TO is missing.
plant() {
  FROM="$3" TO="${4-}" PLANT="$(($# == 4))" perl -0777 -e '
    my ($file) = @ARGV;
    open my $in, "<", $file or die "$file: $!\n";
    my $text = <$in>;
    my ($from, $to) = @ENV{qw(FROM TO)};
    my $n = () = $text =~ /\Q$from\E/g;
    die "`$from` stands in $file $n times, not once: mend the table\n" if $n != 1;
    exit unless $ENV{PLANT};
    $text =~ s/\Q$from\E/$to/;
    open my $out, ">", $file or die "$file: $!\n";
    print $out $text;' "$1/$2"
}

# simulate: the simulation in the copy; 0 where all promises held, 1 where one was broken. Else it ends this script.
simulate() {
  local status=0
  (cd "$work/tree" && CARGO_TARGET_DIR="$target" MAINSTAY_SEEDS="${SEEDS:-2000}" timeout "${LONGEST:-1800}" \
    "${CARGO:-cargo}" test --release --locked -p pipeline --test it simulation::every_seed >"$output" 2>&1) || status=$?
  if [ "$status" = 0 ] && grep -q '^test result: ok. 1 passed' "$output"; then return 0; fi
  if grep -q '^seeds \[' "$output"; then return 1; fi
  tail -30 "$output" >&2
  echo "\`$name\`: it does not compile, has no end, or fails otherwise than by a broken promise" >&2
  exit 2
}

applies=yes
while IFS='|' read -r name file from _; do plant . "$file" "$from" || applies=no; done < <(mutants)
[ "$applies" = yes ] || exit 2
if [ "${CHECK:-}" = only ]; then
  echo "each of the $(mutants | wc -l) bugs can be planted"
  exit
fi

# Artefacts of another tree with the same files must not be taken for ours, nor ours for its.
target="$(mkdir -p "${CARGO_TARGET_DIR:-target}/mutants" && cd "${CARGO_TARGET_DIR:-target}/mutants" && pwd)"
work_folder
trap 'git worktree remove --force "$work/tree" >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
output="$work/output"
git worktree add --detach "$work/tree" HEAD >/dev/null
# A bug may leave a name unused; that is no reason not to compile it.
perl -pi -e 's/"deny"/"warn"/' "$work/tree/Cargo.toml"

{
  result_header "Planted bugs"
  echo "| seeds | at most ${SEEDS:-2000} for each; without a bug all of them keep every promise |"
  echo
  echo "| bug | found | by |"
  echo "|---|---|---|"
} >"$work/result"
name="nothing planted"
simulate || { cat "$output" >&2; echo "a promise is broken before any bug is planted" >&2; exit 2; }
missed=0
while IFS='|' read -r name file from to; do
  # A pipe within a text is written \|.
  plant "$work/tree" "$file" "$from" "${to//\\|/|}"
  if simulate; then
    found=NO by="" missed=$((missed + 1))
  else
    found=yes by="$(sed -n '/broke promises:/{n;s/^ *//;s/|/\\|/g;p;q}' "$output")"
  fi
  git -C "$work/tree" checkout -q -- "$file"
  echo "| $name | $found | $by |" | tee -a "$work/result" >&2
done < <(mutants)
publish mutants
[ "$missed" = 0 ] || { echo "$missed not found" >&2; exit 1; }
