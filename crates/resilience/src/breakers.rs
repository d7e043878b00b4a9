//! The breakers and bulkheads of all targets, shared by everyone, with permits that give themselves back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::fault::Fault;
use domain::id::TargetId;
use domain::ports::{BreakerEntry, Clock, Rng};
use domain::time::Moment;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::breaker::{Breaker, Config, Outcome, Position, Reading, Refused, Ticket};
use crate::bulkhead::{self, Bulkhead, Signal};
use crate::latency::Rolling;

/// The breakers of all targets; clones share them.
#[derive(Clone)]
pub struct Breakers(Arc<Shared>);

struct Shared {
    config: Config,
    bulkhead: bulkhead::Config,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    /// One for each target of the configuration and of the log.
    targets: Mutex<BTreeMap<TargetId, Arc<Guards>>>,
    /// Targets with a state that is not yet kept.
    changed: Mutex<BTreeSet<TargetId>>,
    wake: Notify,
}

/// What guards one target.
struct Guards {
    breaker: Mutex<Breaker>,
    bulkhead: Mutex<Bulkhead>,
    /// How long it took to the answer, for each kind of answer.
    waits: [Mutex<Rolling>; Answer::COUNT],
    refused_by_breaker: AtomicU64,
    refused_by_quota: AtomicU64,
    refused_as_full: AtomicU64,
}

/// What a call waits for. The times differ, so they are known apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Its first text.
    Begun,
    /// The whole of it.
    Whole,
}

impl Answer {
    const COUNT: usize = 2;

    fn index(self) -> usize {
        match self {
            Self::Begun => 0,
            Self::Whole => 1,
        }
    }
}

/// Calls of a target that were not made since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refusals {
    /// Its breaker was open, or its probe under way.
    pub breaker: u64,
    /// It had asked to slow down.
    pub quota: u64,
    /// It had as many calls as it may have.
    pub full: u64,
}

/// A breaker's state with its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetReading {
    /// The target.
    pub target: TargetId,
    /// Its breaker.
    pub reading: Reading,
    /// Its calls, and how many it may have.
    pub bulkhead: bulkhead::Reading,
    /// Calls that were not made.
    pub refused: Refusals,
}

/// What a result did to the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing that others would notice.
    None,
    /// It opened.
    Opened,
    /// It closed.
    Closed,
}

impl Breakers {
    /// No target yet; each starts closed. Bulkheads have their defaults.
    #[must_use]
    pub fn new(config: Config, clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        Self::with_bulkheads((config, bulkhead::Config::default()), clock, rng)
    }

    /// The same with settings for bulkheads.
    #[must_use]
    pub fn with_bulkheads(
        (config, bulkhead): (Config, bulkhead::Config),
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
    ) -> Self {
        Self(Arc::new(Shared {
            config,
            bulkhead,
            clock,
            rng,
            targets: Mutex::default(),
            changed: Mutex::default(),
            wake: Notify::new(),
        }))
    }

    /// Makes `targets` all there are: new ones start closed, those no longer named are forgotten.
    pub fn watch(&self, targets: impl IntoIterator<Item = TargetId>) {
        let mut watched = self.0.targets.lock();
        let mut known = std::mem::take(&mut *watched);
        for target in targets {
            let guards = known.remove(&target).unwrap_or_else(|| self.closed());
            watched.insert(target, guards);
        }
    }

    /// Takes over what was kept before a restart, for targets that were not called since.
    pub fn restore(&self, entries: impl IntoIterator<Item = BreakerEntry>) {
        let (now, wall) = (self.0.clock.now(), self.0.clock.wall());
        let mut targets = self.0.targets.lock();
        for entry in entries {
            let restored = Breaker::restored(self.0.config, &entry, now, wall);
            let guards = targets.entry(entry.target).or_insert_with(|| self.closed());
            let mut breaker = guards.breaker.lock();
            if breaker.is_untouched() {
                *breaker = restored;
            }
        }
    }

    /// Asks to make one call of `target`.
    ///
    /// # Errors
    /// [`Refused`] when it must not be called now.
    pub fn admit(&self, target: &TargetId) -> Result<Permit, Refused> {
        let guards = self.guards(target);
        self.admit_at(target, &guards).inspect_err(|refused| guards.count(*refused))
    }

    fn admit_at(&self, target: &TargetId, guards: &Arc<Guards>) -> Result<Permit, Refused> {
        let (ticket, _) =
            self.act(target, guards, |breaker, shared| breaker.admit(shared.clock.now(), &*shared.rng));
        let ticket = ticket?;
        if !guards.bulkhead.lock().enter(self.0.clock.now()) {
            // The place of a probe is free for the next.
            self.act(target, guards, |breaker, shared| {
                breaker.settle(ticket, Outcome::Ignored, shared.clock.now(), &*shared.rng);
            });
            return Err(Refused::Full);
        }
        let guards = Arc::clone(guards);
        Ok(Permit { breakers: self.clone(), guards, target: target.clone(), ticket: Some(ticket) })
    }

    /// The state of one target.
    #[must_use]
    pub fn read(&self, target: &TargetId) -> Reading {
        let guards = self.guards(target);
        self.act(target, &guards, |breaker, shared| breaker.read(shared.clock.now(), &*shared.rng)).0
    }

    /// So long do `percent` of the target's answers of that kind take at most; `None` when fewer than `least` are known.
    #[must_use]
    pub fn wait(&self, target: &TargetId, answer: Answer, (percent, least): (u32, u32)) -> Option<Duration> {
        let guards = self.guards(target);
        let waits = guards.waits.get(answer.index())?;
        waits.lock().quantile(percent, least, self.0.clock.now())
    }

    /// A call of `target` was given up after it had waited so long.
    pub fn note_wait(&self, target: &TargetId, answer: Answer, waited: Duration) {
        self.guards(target).note_wait(answer, waited, self.0.clock.now());
    }

    /// The state of each target, in their order.
    #[must_use]
    pub fn snapshot(&self) -> Vec<TargetReading> {
        let targets: Vec<_> =
            self.0.targets.lock().iter().map(|(target, guards)| (target.clone(), guards.clone())).collect();
        let read = |(target, guards): (TargetId, Arc<Guards>)| {
            let (reading, _) =
                self.act(&target, &guards, |breaker, shared| breaker.read(shared.clock.now(), &*shared.rng));
            let bulkhead = guards.bulkhead.lock().read(self.0.clock.now());
            TargetReading { target, reading, bulkhead, refused: guards.refused() }
        };
        targets.into_iter().map(read).collect()
    }

    /// Closes the breaker of `target` and forgets what it and the bulkhead knew; `false` when there is no such target.
    #[must_use = "says whether there was one"]
    pub fn reset(&self, target: &TargetId) -> bool {
        let guards = self.0.targets.lock().get(target).cloned();
        if let Some(guards) = &guards {
            self.act(target, guards, |breaker, _| breaker.reset());
            guards.bulkhead.lock().reset();
        }
        guards.is_some()
    }

    /// Ends when there are changes to keep. For one waiter; cancel-safe.
    pub async fn changed(&self) {
        while self.0.changed.lock().is_empty() {
            self.0.wake.notified().await;
        }
    }

    /// The newest state of each target that changed since the last call, for [`domain::ports::BreakerLog`].
    /// Only opening, closing and resetting are changes; a target that changed often is listed once.
    #[must_use = "what is drained is not listed again"]
    pub fn drain_changes(&self) -> Vec<BreakerEntry> {
        let changed = std::mem::take(&mut *self.0.changed.lock());
        let (now, wall) = (self.0.clock.now(), self.0.clock.wall());
        let targets = self.0.targets.lock();
        let entry = |target: TargetId| {
            let guards = targets.get(&target)?;
            let entry = guards.breaker.lock().entry(target, now, wall);
            Some(entry)
        };
        changed.into_iter().filter_map(entry).collect()
    }

    /// Lists the target of an entry that could not be kept again, for the next [`Self::drain_changes`].
    pub fn keep_again(&self, target: TargetId) {
        self.0.changed.lock().insert(target);
        self.0.wake.notify_one();
    }

    fn closed(&self) -> Arc<Guards> {
        Arc::new(Guards {
            breaker: Mutex::new(Breaker::new(self.0.config)),
            bulkhead: Mutex::new(Bulkhead::new(self.0.bulkhead)),
            waits: Default::default(),
            refused_by_breaker: AtomicU64::new(0),
            refused_by_quota: AtomicU64::new(0),
            refused_as_full: AtomicU64::new(0),
        })
    }

    fn guards(&self, target: &TargetId) -> Arc<Guards> {
        let mut targets = self.0.targets.lock();
        if let Some(guards) = targets.get(target) {
            return guards.clone();
        }
        targets.entry(target.clone()).or_insert_with(|| self.closed()).clone()
    }

    /// Does something to a breaker and notes when that changed what is kept.
    fn act<T>(
        &self,
        target: &TargetId,
        guards: &Guards,
        act: impl FnOnce(&mut Breaker, &Shared) -> T,
    ) -> (T, Change) {
        let (result, change) = {
            let mut breaker = guards.breaker.lock();
            let before = breaker.revision();
            let result = act(&mut breaker, &self.0);
            let change = match breaker.revision() == before {
                true => Change::None,
                false if breaker.is_closed() => Change::Closed,
                false => Change::Opened,
            };
            (result, change)
        };
        if change != Change::None {
            self.0.changed.lock().insert(target.clone());
            self.0.wake.notify_one();
        }
        (result, change)
    }
}

impl Guards {
    fn note_wait(&self, answer: Answer, waited: Duration, now: Moment) {
        if let Some(waits) = self.waits.get(answer.index()) {
            waits.lock().note(waited, now);
        }
    }

    fn count(&self, refused: Refused) {
        let count = match refused {
            Refused::Open { .. } | Refused::Probing => &self.refused_by_breaker,
            Refused::Quota { .. } => &self.refused_by_quota,
            Refused::Full => &self.refused_as_full,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    fn refused(&self) -> Refusals {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Refusals {
            breaker: read(&self.refused_by_breaker),
            quota: read(&self.refused_by_quota),
            full: read(&self.refused_as_full),
        }
    }
}

/// The right to make one call. Dropped without a result (cancelled, panicked), it counts as nothing and frees its
/// place.
#[must_use = "dropping it gives the right back"]
pub struct Permit {
    breakers: Breakers,
    guards: Arc<Guards>,
    target: TargetId,
    ticket: Option<Ticket>,
}

impl Permit {
    /// The call succeeded.
    pub fn succeed(mut self) -> Change {
        self.settle(Outcome::Success)
    }

    /// The call failed.
    pub fn fail(mut self, fault: &Fault) -> Change {
        self.settle(Outcome::of(fault))
    }

    /// The call waited so long for its answer.
    pub fn waited(&self, answer: Answer, waited: Duration) {
        self.guards.note_wait(answer, waited, self.breakers.0.clock.now());
    }

    /// The call took longer than its target's limit.
    pub fn mark_slow(&mut self) {
        if let Some(ticket) = &mut self.ticket {
            ticket.mark_slow();
        }
    }

    /// The call shows that it is alive, so that a long probe is not given up.
    pub fn touch(&self) {
        let shared = &self.breakers.0;
        if let Some(ticket) = &self.ticket {
            self.guards.breaker.lock().touch(ticket, shared.clock.now(), &*shared.rng);
        }
    }

    fn settle(&mut self, outcome: Outcome) -> Change {
        let Some(ticket) = self.ticket.take() else { return Change::None };
        let signal = match outcome {
            Outcome::Throttled(_) => Signal::TooMany,
            _ if ticket.is_slow() => Signal::TooMany,
            Outcome::Success => Signal::Well,
            Outcome::Failure | Outcome::RouteFatal | Outcome::Ignored => Signal::Nothing,
        };
        self.guards.bulkhead.lock().leave(signal, self.breakers.0.clock.now());
        let settle = |breaker: &mut Breaker, shared: &Shared| {
            breaker.settle(ticket, outcome, shared.clock.now(), &*shared.rng);
        };
        self.breakers.act(&self.target, &self.guards, settle).1
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.settle(Outcome::Ignored);
    }
}

impl TargetReading {
    /// Whether a call of this target would be refused now.
    #[must_use]
    pub fn is_shut(&self) -> bool {
        self.reading.quota_until.is_some() || matches!(self.reading.position, Position::Open { .. })
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use domain::fault::{Kind, Retry};
    use domain::time::Timestamp;

    use super::*;
    use crate::simulated::{Constant, Manual};

    const WALL: Timestamp = Timestamp(1_800_000_000_000_000);

    fn target() -> TargetId {
        TargetId::from("openai/gpt")
    }

    fn breakers(wall: Timestamp) -> (Breakers, Arc<Manual>) {
        let clock = Arc::new(Manual::new(wall));
        (Breakers::new(Config::default(), clock.clone(), Arc::new(Constant(0))), clock)
    }

    /// Opens the target's breaker and waits until it is half-open.
    fn half_open(breakers: &Breakers, clock: &Manual) {
        open(breakers);
        clock.advance(Duration::from_secs(30));
    }

    fn open(breakers: &Breakers) {
        let fatal = Fault::provider(Kind::RouteFatal);
        assert_eq!(breakers.admit(&target()).unwrap().fail(&fatal), Change::Opened);
    }

    #[test]
    fn a_permit_frees_the_probe_whatever_happens_to_it() {
        let caller = Fault::provider(Kind::Caller);
        type End = fn(Permit, &Fault);
        let ends: [(&str, End); 3] = [
            ("dropped", |permit, _| drop(permit)),
            ("panicked", |permit, _| {
                let hook = std::panic::take_hook();
                std::panic::set_hook(Box::new(|_| {}));
                let panicked = catch_unwind(AssertUnwindSafe(move || {
                    let _permit = permit;
                    panic!("in the middle of a call");
                }));
                std::panic::set_hook(hook);
                assert!(panicked.is_err());
            }),
            ("failed by the caller's fault", |permit, fault| assert_eq!(permit.fail(fault), Change::None)),
        ];
        for (name, end) in ends {
            let (breakers, clock) = breakers(WALL);
            half_open(&breakers, &clock);
            let probe = breakers.admit(&target()).unwrap();
            assert_eq!(breakers.admit(&target()).err(), Some(Refused::Probing), "{name}");
            end(probe, &caller);
            assert_eq!(breakers.snapshot()[0].reading.position, Position::HalfOpen, "{name}");
            assert_eq!(breakers.admit(&target()).unwrap().succeed(), Change::Closed, "{name}");
        }
    }

    #[test]
    fn a_full_target_is_refused_until_a_call_ends_however_it_ends() {
        let clock = Arc::new(Manual::new(WALL));
        let bulkhead = bulkhead::Config { calls_max: 2, calls_min: 1, ..bulkhead::Config::default() };
        let breakers = Breakers::with_bulkheads((Config::default(), bulkhead), clock, Arc::new(Constant(0)));
        let (first, second) = (breakers.admit(&target()).unwrap(), breakers.admit(&target()).unwrap());
        assert_eq!(breakers.admit(&target()).err(), Some(Refused::Full));
        drop(first);
        let third = breakers.admit(&target()).unwrap();
        assert_eq!(breakers.admit(&target()).err(), Some(Refused::Full));
        second.succeed();
        third.fail(&Fault::provider(Kind::Transient));
        assert_eq!(breakers.snapshot()[0].bulkhead, bulkhead::Reading { calls: 0, limit: 2 });
    }

    #[test]
    fn a_probe_that_finds_no_place_leaves_the_probe_to_the_next() {
        let clock = Arc::new(Manual::new(WALL));
        let bulkhead = bulkhead::Config { calls_max: 1, calls_min: 1, ..bulkhead::Config::default() };
        let breakers =
            Breakers::with_bulkheads((Config::default(), bulkhead), clock.clone(), Arc::new(Constant(0)));
        open(&breakers);
        clock.advance(Duration::from_secs(30));
        let probe = breakers.admit(&target()).unwrap();
        assert!(breakers.reset(&target()), "closes, and the call under way keeps its place");
        assert_eq!(breakers.admit(&target()).err(), Some(Refused::Full));
        drop(probe);
        open(&breakers);
        clock.advance(Duration::from_secs(30));
        assert_eq!(breakers.admit(&target()).unwrap().succeed(), Change::Closed);
    }

    #[test]
    fn of_many_threads_exactly_one_probes() {
        let (breakers, clock) = breakers(WALL);
        half_open(&breakers, &clock);
        let permits: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..32).map(|_| scope.spawn(|| breakers.admit(&target()).ok())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(permits.iter().flatten().count(), 1);
    }

    #[tokio::test]
    async fn changes_are_listed_once_with_the_newest_state() {
        let (breakers, clock) = breakers(WALL);
        assert_eq!(breakers.admit(&target()).unwrap().fail(&Fault::provider(Kind::Transient)), Change::None);
        assert_eq!(breakers.drain_changes(), []);
        half_open(&breakers, &clock);
        breakers.changed().await;
        assert_eq!(
            breakers.admit(&target()).unwrap().fail(&Fault::provider(Kind::Transient)),
            Change::Opened
        );
        let changes = breakers.drain_changes();
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].opens, 2);
        assert_eq!(changes[0].open_until, Some(WALL.after(Duration::from_secs(90))));
        assert_eq!(breakers.drain_changes(), []);
        assert!(breakers.reset(&target()));
        assert_eq!(breakers.drain_changes()[0].open_until, None);
        breakers.keep_again(target());
        assert_eq!(breakers.drain_changes().len(), 1);
    }

    #[test]
    fn a_probe_given_up_is_a_change_too() {
        let (breakers, clock) = breakers(WALL);
        half_open(&breakers, &clock);
        let _hangs = breakers.admit(&target()).unwrap();
        let _ = breakers.drain_changes();
        clock.advance(Duration::from_secs(31));
        assert!(breakers.snapshot()[0].is_shut());
        assert_eq!(breakers.drain_changes()[0].opens, 2);
    }

    #[test]
    fn state_survives_a_restart() {
        let (first, _) = breakers(WALL);
        open(&first);
        let kept = first.drain_changes();

        let (second, clock) = breakers(WALL.after(Duration::from_secs(10)));
        second.watch([target(), TargetId::from("other/model")]);
        second.restore(kept.clone());
        assert!(matches!(second.admit(&target()).err(), Some(Refused::Open { .. })));
        clock.advance(Duration::from_secs(20));
        let probe = second.admit(&target()).unwrap();
        second.restore(kept); // too late: the target is in use
        assert_eq!(probe.succeed(), Change::Closed);
    }

    #[test]
    fn only_watched_targets_are_kept() {
        let (breakers, _) = breakers(WALL);
        open(&breakers);
        let other = TargetId::from("other/model");
        breakers.watch([target(), other.clone()]);
        let shut: Vec<_> = breakers.snapshot().iter().map(TargetReading::is_shut).collect();
        assert_eq!(shut, [true, false], "openai/gpt keeps its state, other/model is new");
        breakers.watch([other.clone()]);
        assert_eq!(breakers.snapshot().len(), 1);
        assert!(!breakers.reset(&target()));
    }

    #[test]
    fn a_throttled_target_is_shut_for_as_long_as_it_asked() {
        let (breakers, clock) = breakers(WALL);
        let fault = Fault { retry: Retry::After(Duration::from_secs(7)), ..Fault::provider(Kind::Throttled) };
        assert_eq!(breakers.admit(&target()).unwrap().fail(&fault), Change::None);
        assert!(matches!(breakers.admit(&target()).err(), Some(Refused::Quota { .. })));
        clock.advance(Duration::from_secs(7));
        assert!(breakers.admit(&target()).is_ok());
    }
}
