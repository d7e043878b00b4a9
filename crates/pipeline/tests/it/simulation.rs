//! Thousands of seeded outages on simulated time: whatever models, disk, clock and visitors do, the promises hold.
//!
//! A seed decides everything ([`options`]); a run of it is the same in every byte. A seed that fails prints what it
//! decided and the last it did, and `MAINSTAY_SEED=… cargo test -p pipeline --test it simulation` plays it again;
//! `MAINSTAY_SEEDS=10000` plays more of them, `MAINSTAY_TRACE=1` prints all that happens.
//!
//! Reading order: [`options`] (what a seed decides), [`world`] (clock, chance, trace), [`process`] (what runs, and how
//! it is ended), [`models`] and [`disk`] (what fails), [`visitors`] and [`lobby`] (who asks), [`turns`] and [`promises`] (what must
//! hold), [`bugs`] (what must be found).

mod bugs;
mod disk;
mod lobby;
mod models;
mod options;
mod process;
mod promises;
mod turns;
mod visitors;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;

use self::bugs::Bug;
use self::process::Machine;
use self::world::World;

/// What became of a run.
struct Run {
    trace: String,
    broken: Vec<String>,
    n_turns: u64,
}

/// No run lasts longer, in simulated time.
const LONGEST: Duration = Duration::from_hours(24);

/// Plays `seed`.
fn play(seed: u64, bug: Option<Bug>) -> Run {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let world = World::new(seed, bug);
        let machine = Machine::new(&world);
        let ended = tokio::time::timeout(LONGEST, live(&machine)).await;
        world.promise(ended.is_ok(), || "the run has no end".to_owned());
        let (trace, broken) = world.end();
        Run { trace, broken, n_turns: machine.lobby.n_turns() }
    })
}

async fn live(machine: &Machine) {
    machine.start().await;
    let visitors =
        join_all((0..machine.world.options.visitors.n_clients).map(|n| visitors::visit(machine, n)));
    futures_util::join!(visitors, machine.play());
    machine.calm();
    visitors::all_answer(machine).await;
    machine.stop().await;
    machine.lobby.check(&machine.disk);
    promises::at_the_end(&machine.world);
}

/// A number from the environment, for whoever plays a seed again.
#[expect(clippy::disallowed_methods, reason = "a test has no other configuration")]
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// How many seeds a run of all tests plays: fewer where nothing is optimised.
const N_SEEDS: u64 = if cfg!(debug_assertions) { 60 } else { 2_000 };
/// Lines of the trace that a failure shows.
const LINES_SHOWN: usize = 60;

/// What a failed seed says.
fn report(seed: u64, run: &Run) -> String {
    let lines: Vec<&str> = run.trace.lines().collect();
    let shown = lines.len().saturating_sub(LINES_SHOWN);
    let options = lines.first().copied().unwrap_or_default();
    let last = lines.get(shown..).unwrap_or_default().join("\n");
    let broken = run.broken.join("\n  ");
    format!(
        "seed {seed} broke promises:\n  {broken}\nit decided {options}\n\n{last}\n\n\
         Play it again: MAINSTAY_TRACE=1 MAINSTAY_SEED={seed} cargo test --release -p pipeline --test it simulation::every"
    )
}

#[test]
fn every_seed_keeps_every_promise() {
    if let Some(seed) = setting("MAINSTAY_SEED") {
        let run = play(seed, None);
        if setting("MAINSTAY_TRACE").is_some() {
            println!("{}", run.trace);
        }
        assert!(run.broken.is_empty(), "{}", report(seed, &run));
        return;
    }
    let n_seeds = setting("MAINSTAY_SEEDS").unwrap_or(N_SEEDS);
    let (next, n_turns) = (AtomicU64::new(0), AtomicU64::new(0));
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
    let failed = parking_lot::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..n_threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= n_seeds || failed.lock().len() > 4 {
                        return;
                    }
                    let run = play(seed, None);
                    n_turns.fetch_add(run.n_turns, Ordering::Relaxed);
                    if !run.broken.is_empty() {
                        failed.lock().push((seed, report(seed, &run)));
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner();
    failed.sort();
    let seeds: Vec<u64> = failed.iter().map(|(seed, _)| *seed).collect();
    if let Some((_, report)) = failed.first() {
        panic!("seeds {seeds:?} fail.\n{report}");
    }
    println!("simulation: {n_seeds} seeds, {} turns, no promise broken", n_turns.into_inner());
}

#[test]
fn a_seed_is_the_same_in_every_byte() {
    for seed in [1, 2, 3, 7, 11, 13, 57, 101] {
        let (one, other) = (play(seed, None), play(seed, None));
        let differs = one.trace.lines().zip(other.trace.lines()).find(|(one, other)| one != other);
        assert!(one.trace == other.trace, "seed {seed}: {differs:?}");
    }
}

/// Seeds that once broke a promise, and what was wrong.
const FOUND: [u64; 3] = [
    // A relayed request waited for a place until its deadline, and was told so after it.
    7_607, 7_892, 9_391,
];

#[test]
fn what_was_found_once_stays_mended() {
    for seed in FOUND {
        let run = play(seed, None);
        assert!(run.broken.is_empty(), "{}", report(seed, &run));
    }
}

/// What must happen in some seed, else the promises say little.
const EVENTS: [&str; 30] = [
    "opened 1 times",
    "opened 2 times",
    "opened 0 times",
    "Failed(RouteFatal)",
    "Failed(Throttled)",
    "Failed(Content)",
    "ends: Dropped",
    "leaves turn",
    "is degraded by",
    "QUOTED_PASSAGE",
    "FALLBACK:",
    "embedded/default",
    "Some(Incomplete(",
    "recorded: No",
    "gets no reply: the answer could not be recorded",
    "gets no reply: another message of this session",
    "no target may be called now",
    "every model that may be called failed",
    "the request fails with any model",
    "ends: Gentle",
    "ends: Killed",
    "ends: PowerCut",
    "jumps by -86400 s",
    "the disk is SyncFails",
    "is escalated by",
    "the configuration is read anew",
    "is reset",
    "is Wrong",
    "it is a rival",
    "is turned away",
];

#[test]
fn the_seeds_are_eventful() {
    let mut missing: Vec<&str> = EVENTS.to_vec();
    for seed in 0..150 {
        let trace = play(seed, None).trace;
        missing.retain(|event| !trace.contains(event));
        if missing.is_empty() {
            return;
        }
    }
    panic!("no seed sees {missing:?}");
}

#[test]
fn every_planted_bug_is_found() {
    for (bug, word) in Bug::ALL {
        let found =
            (0..400).find(|seed| play(*seed, Some(bug)).broken.iter().any(|broken| broken.contains(word)));
        println!("{bug:?} is found by seed {found:?}");
        assert!(found.is_some(), "{bug:?} is not found");
    }
}
