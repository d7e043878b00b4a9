//! What all parts of a simulated run share: its clock, its chance, its trace, and the promises that were broken.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use domain::id::TargetId;
use domain::ports::{BoxFuture, Clock, Ids, Rng};
use domain::time::{Moment, Timestamp};
use parking_lot::Mutex;
use resilience::breaker::Position;
use resilience::chance;
use routing::Router;
use testkit::{SeededRng, TokioClock};

use super::bugs::Bug;
use super::options::Options;
use super::turns::Turns;

/// A clock on tokio's paused time whose wall time can be set, as clocks are.
pub(crate) struct SimulatedClock {
    monotonic: TokioClock,
    jumped_us: AtomicI64,
}

impl Clock for SimulatedClock {
    fn now(&self) -> Moment {
        self.monotonic.now()
    }

    fn wall(&self) -> Timestamp {
        Timestamp(self.monotonic.wall().0 + self.jumped_us.load(Ordering::Relaxed))
    }

    fn sleep_until(&self, until: Moment) -> BoxFuture<'static, ()> {
        self.monotonic.sleep_until(until)
    }
}

/// Ids that never come again, also not after a restart.
pub(crate) struct SharedIds(Arc<World>);

impl Ids for SharedIds {
    fn next_id(&self) -> u128 {
        u128::from(self.0.last_id.fetch_add(1, Ordering::Relaxed)) + 1
    }
}

/// What all parts share.
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) bug: Option<Bug>,
    pub(crate) options: Options,
    pub(crate) clock: Arc<SimulatedClock>,
    pub(crate) turns: Turns,
    last_id: AtomicU64,
    trace: Mutex<String>,
    broken: Mutex<Vec<String>>,
    /// When each target was last seen to refuse calls.
    refusing: Mutex<BTreeMap<TargetId, Moment>>,
}

/// More broken promises than this are not kept: the first ones tell the story.
const BROKEN_MAX: usize = 8;

impl World {
    pub(crate) fn new(seed: u64, bug: Option<Bug>) -> Arc<Self> {
        let clock = SimulatedClock { monotonic: TokioClock::new(), jumped_us: AtomicI64::new(0) };
        let world = Self {
            seed,
            bug,
            options: Options::of(seed),
            clock: Arc::new(clock),
            turns: Turns::default(),
            last_id: AtomicU64::new(0),
            trace: Mutex::default(),
            broken: Mutex::default(),
            refusing: Mutex::default(),
        };
        world.note(format_args!("seed {seed} {:?}", world.options));
        Arc::new(world)
    }

    pub(crate) fn ids(self: &Arc<Self>) -> SharedIds {
        SharedIds(Arc::clone(self))
    }

    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Chance of its own for the part named `part`, so that parts do not disturb each other.
    pub(crate) fn rng(&self, part: u64) -> SeededRng {
        SeededRng::new(
            self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ part.wrapping_mul(0xbf58_476d_1ce4_e5b9),
        )
    }

    pub(crate) async fn sleep(&self, wait: Duration) {
        self.clock.sleep(wait).await;
    }

    /// Sets the wall clock forward or back.
    pub(crate) fn jump(&self, seconds: i64) {
        self.clock.jumped_us.fetch_add(seconds * 1_000_000, Ordering::Relaxed);
        self.note(format_args!("the wall clock jumps by {seconds} s"));
    }

    pub(crate) fn note(&self, what: fmt::Arguments<'_>) {
        // Writing to a text cannot fail.
        let _ = writeln!(self.trace.lock(), "{:>10.3} {what}", self.now().0.as_secs_f64());
    }

    /// A promise: when it does not hold, the seed has failed.
    #[expect(clippy::fn_params_excessive_bools, reason = "it is an assertion")]
    pub(crate) fn promise(&self, holds: bool, what: impl FnOnce() -> String) {
        if holds {
            return;
        }
        let what = what();
        self.note(format_args!("BROKEN: {what}"));
        let mut broken = self.broken.lock();
        if broken.len() < BROKEN_MAX {
            broken.push(what);
        }
    }

    pub(crate) fn end(&self) -> (String, Vec<String>) {
        (std::mem::take(&mut self.trace.lock()), std::mem::take(&mut self.broken.lock()))
    }

    /// Notes which targets refuse calls now.
    pub(crate) fn observe(&self, router: &Router) {
        let now = self.now();
        let mut refusing = self.refusing.lock();
        for health in router.health() {
            let is_probing = health.position == Position::HalfOpen && health.calls.calls > 0;
            let is_full = health.calls.calls >= health.calls.limit;
            if health.shut_for.is_some() || is_probing || is_full {
                refusing.insert(health.target, now);
            }
        }
    }

    /// Whether `target` was seen to refuse calls at or after `since`.
    pub(crate) fn refused_since(&self, target: &TargetId, since: Moment) -> bool {
        self.refusing.lock().get(target).is_some_and(|at| *at >= since)
    }
}

/// Choices that read well.
pub(crate) trait Chance {
    /// A number below `limit`.
    fn below(&self, limit: u64) -> u64;

    /// A number from `least` to `most`.
    fn between(&self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    fn percent(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A time from `least` to `most` milliseconds.
    fn millis(&self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.between(least, most))
    }

    fn pick<T: Copy>(&self, from: &[T]) -> T {
        let index = self.below(u64::try_from(from.len()).expect("few"));
        from[usize::try_from(index).expect("few")]
    }
}

impl<R: Rng> Chance for R {
    fn below(&self, limit: u64) -> u64 {
        chance::below(self, limit)
    }
}
