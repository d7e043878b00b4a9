//! The record of each call, written when the call ends, however it ends.
//!
//! Reading order: this file (the log, what is set aside for a call and what it costs), `running` (a call under way).

mod running;

use std::fmt;
use std::sync::Arc;

use domain::interaction::{Attempt, AttemptResult};
use domain::model::{Model, Target, TargetKind};
use domain::price::Prices;
use domain::spending::{NotCovered, Purse, Spent, Weight, Worst};
use domain::time::Day;
use domain::token::Usage;
use parking_lot::Mutex;
use resilience::policy::Place;

pub(crate) use running::{Blame, Running, Start};

/// The attempts of one turn; clones share them.
#[derive(Clone, Default)]
pub struct AttemptLog(Arc<Mutex<Log>>);

#[derive(Default)]
struct Log {
    n_begun: u32,
    n_failed_remote: u32,
    n_answered: u32,
    /// At most a few for each generation, by the policy's limits.
    ended: Vec<Attempt>,
    /// What pays for the calls; `None` where nothing is counted.
    purse: Option<Arc<dyn Purse>>,
}

impl AttemptLog {
    /// The log of a turn whose calls are paid for from `purse`.
    #[must_use]
    pub fn paid_from(purse: Option<Arc<dyn Purse>>) -> Self {
        Self(Arc::new(Mutex::new(Log { purse, ..Log::default() })))
    }

    /// Covers a call of `target` at its worst: `weight` with answers of at most `output_max` tokens.
    pub(crate) fn cover(
        &self,
        (target, model): (&Target, Option<&Model>),
        (weight, output_max): (Weight, Option<u32>),
    ) -> Result<Option<Hold>, NotCovered> {
        let Some(purse) = self.0.lock().purse.clone() else { return Ok(None) };
        let worst = weight.worst((model, target.kind), output_max, purse.assumed());
        purse.cover(worst)?;
        Ok(Some(Hold { purse, worst, spent: None }))
    }

    /// Takes out the attempts that have ended, in the order they began. A running stream adds its attempt when it
    /// ends or is dropped.
    #[must_use]
    pub fn take(&self) -> Vec<Attempt> {
        let mut ended = std::mem::take(&mut self.0.lock().ended);
        ended.sort_by_key(|attempt| attempt.n);
        ended
    }

    /// What the attempts that have ended and were not taken out used, as far as it is known or can be estimated.
    #[must_use]
    pub fn used(&self) -> Usage {
        let log = self.0.lock();
        let used = log.ended.iter().filter_map(|attempt| attempt.usage.or(attempt.estimate));
        used.fold(Usage::default(), Usage::plus)
    }

    /// The attempts that have ended and are not taken out yet.
    #[must_use]
    pub fn ended(&self) -> Vec<Attempt> {
        self.0.lock().ended.clone()
    }

    /// Attempts begun so far, taken out or not.
    #[must_use]
    pub fn n_begun(&self) -> u32 {
        self.0.lock().n_begun
    }

    /// Remote attempts of the turn that have failed: what counts towards its limit.
    pub(crate) fn n_failed_remote(&self) -> u32 {
        self.0.lock().n_failed_remote
    }

    /// Answers of the turn that were given whole; asking again means that they did not hold.
    pub(crate) fn n_answered(&self) -> u32 {
        self.0.lock().n_answered
    }

    fn begin(&self) -> u32 {
        let mut log = self.0.lock();
        log.n_begun = log.n_begun.saturating_add(1);
        log.n_begun
    }

    /// Adds that an earlier answer was given again: no call, and nothing is paid for it.
    pub fn add_cached(&self, attempt: Attempt) {
        self.0.lock().ended.push(attempt);
    }

    fn end(&self, attempt: Attempt, place: Place) {
        let mut log = self.0.lock();
        if place == Place::Remote && matches!(attempt.result, AttemptResult::Failed(_)) {
            log.n_failed_remote = log.n_failed_remote.saturating_add(1);
        }
        log.n_answered += u32::from(attempt.result == AttemptResult::Answered);
        log.ended.push(attempt);
    }
}

impl fmt::Debug for AttemptLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttemptLog").field("n_begun", &self.n_begun()).finish_non_exhaustive()
    }
}

/// What is set aside for one call. Dropped, it is settled with what the call was seen to spend.
pub(crate) struct Hold {
    purse: Arc<dyn Purse>,
    worst: Worst,
    /// `None` while the call has used nothing.
    spent: Option<Spent>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.purse.settle(self.worst, self.spent.take());
    }
}

/// What a call of a target costs.
#[derive(Debug, Clone)]
pub(crate) enum Pricing {
    /// A model that runs here costs nothing for each token, unless the catalogue says otherwise.
    Free,
    PerToken(Prices),
    Unknown,
}

impl Pricing {
    pub(crate) fn of(target: &Target, model: Option<&Model>, today: Day) -> Self {
        match (model.and_then(|model| model.prices.on(today)), target.kind) {
            (Some(prices), _) if prices.is_free() => Self::Free,
            (Some(prices), _) => Self::PerToken(prices.clone()),
            (None, TargetKind::Embedded) => Self::Free,
            (None, TargetKind::Remote) => Self::Unknown,
        }
    }
}

/// Where a call runs.
pub(crate) fn place(target: &Target) -> Place {
    match target.kind {
        TargetKind::Remote => Place::Remote,
        TargetKind::Embedded => Place::Here,
    }
}
