//! The breakers and bulkheads of all targets, shared by everyone, with permits that give themselves back.
//!
//! Reading order: this file (all targets), `guards` (one target), `permit` (one call).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use domain::id::TargetId;
use domain::ports::{BreakerEntry, Clock, Rng};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::breaker::{Breaker, Config, Outcome, Position, Reading, Refused};
use crate::bulkhead;

mod guards;
mod permit;
#[cfg(test)]
mod tests;

use guards::Guards;
pub use guards::{Answer, Refusals};
pub use permit::Permit;

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
        let now = self.0.clock.now();
        let (ticket, _) = self.act(target, guards, |breaker, shared| breaker.admit(now, &*shared.rng));
        let ticket = ticket?;
        if !guards.bulkhead.lock().enter(now) {
            // The place of a probe is free for the next.
            self.act(target, guards, |breaker, shared| {
                breaker.settle(ticket, Outcome::Ignored, now, &*shared.rng);
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
        self.guards(target).wait(answer, (percent, least), self.0.clock.now())
    }

    /// How long one more call of `target` would wait for that kind of answer, about, in seconds: for comparing targets.
    #[must_use]
    pub fn load(&self, target: &TargetId, answer: Answer) -> f64 {
        let (guards, now) = (self.guards(target), self.0.clock.now());
        let calls = guards.bulkhead.lock().read(now).calls;
        guards.average(answer, |average| average.load(calls, now)).unwrap_or(f64::MAX)
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
        Arc::new(Guards::closed((self.0.config, self.0.bulkhead), self.0.clock.now()))
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

impl TargetReading {
    /// Whether a call of this target would be refused now.
    #[must_use]
    pub fn is_shut(&self) -> bool {
        self.reading.quota_until.is_some() || matches!(self.reading.position, Position::Open { .. })
    }
}
