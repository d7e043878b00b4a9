//! The record of each call, written when the call ends, however it ends.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use domain::chat::Done;
use domain::fault::{Fault, Kind};
use domain::interaction::{Attempt, AttemptResult, Chosen};
use domain::model::{Model, Target, TargetKind, Tier};
use domain::money::Amount;
use domain::ports::Clock;
use domain::price::{Cost, Prices};
use domain::spending::{NotCovered, Purse, Spent, Weight, Worst};
use domain::time::{Day, Moment};
use domain::token::Usage;
use parking_lot::Mutex;
use resilience::breakers::{Answer, Change, Permit};
use resilience::policy::Place;

use crate::estimate::{self, Prompt};

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

/// What is known of a call when it starts.
pub(crate) struct Start<'a> {
    pub(crate) clock: &'a Arc<dyn Clock>,
    pub(crate) log: &'a AttemptLog,
    pub(crate) target: &'a Target,
    pub(crate) chosen: Chosen,
    pub(crate) tier: Tier,
    pub(crate) model: Option<&'a Model>,
    /// When the turn began.
    pub(crate) turn_started: Moment,
    pub(crate) permit: Permit,
    /// What pays for it.
    pub(crate) hold: Option<Hold>,
    /// What its first text is.
    pub(crate) awaits: Answer,
    /// What is asked.
    pub(crate) prompt: Prompt,
}

/// Who is to blame for a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blame {
    /// The target: its breaker hears of it.
    Target,
    /// A near deadline: its breaker does not.
    Deadline,
}

/// A call under way. Dropped, it is recorded as cancelled and says nothing to the breaker. It is large and handed through
/// many futures, so it stays in one place.
pub(crate) struct Running {
    clock: Arc<dyn Clock>,
    log: AttemptLog,
    place: Place,
    pricing: Pricing,
    /// From when the wait for its first text counts as slow.
    slow: Option<Duration>,
    awaits: Answer,
    began: Moment,
    /// `None` once the call has ended.
    permit: Option<Permit>,
    /// What pays for it; `None` where nothing is counted, or once it is settled.
    hold: Option<Hold>,
    /// Filled in as the call goes on.
    attempt: Attempt,
    /// Whether the provider refused the call, so that nothing was used.
    refused: bool,
    prompt: Prompt,
    /// Bytes of what the model has said.
    said: u64,
}

impl Running {
    pub(crate) fn begin(start: Start<'_>) -> Box<Self> {
        let began = start.clock.now();
        let pricing = Pricing::of(start.target, start.model, start.clock.wall().day());
        let attempt = Attempt {
            n: start.log.begin(),
            tier: start.tier,
            target: start.target.id.clone(),
            model: start.target.model.clone(),
            chosen: Some(start.chosen),
            started: began.since(start.turn_started),
            latency: Duration::ZERO,
            first_token: None,
            usage: None,
            estimate: None,
            prices: None,
            cost: Cost::Unpriced,
            saved: Amount::ZERO,
            result: AttemptResult::Cancelled,
            finish: None,
        };
        Box::new(Self {
            clock: start.clock.clone(),
            log: start.log.clone(),
            place: place(start.target),
            pricing,
            slow: start.target.slow,
            awaits: start.awaits,
            began,
            permit: Some(start.permit),
            hold: start.hold,
            attempt,
            refused: false,
            prompt: start.prompt,
            said: 0,
        })
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    pub(crate) fn n(&self) -> u32 {
        self.attempt.n
    }

    pub(crate) fn began(&self) -> Moment {
        self.began
    }

    /// The provider did not accept the call.
    pub(crate) fn refuse(&mut self) {
        self.refused = true;
    }

    /// The model said that it is done.
    pub(crate) fn done(&mut self, done: Done) {
        self.attempt.usage = done.usage.or(self.attempt.usage);
        self.attempt.finish = Some(done.finish);
    }

    /// Text came, so many bytes of it.
    pub(crate) fn text(&mut self, said: u32) {
        self.said = self.said.saturating_add(u64::from(said));
        if self.attempt.first_token.is_none() {
            let waited = self.clock.now().since(self.began);
            self.attempt.first_token = Some(waited);
            if let Some(permit) = &self.permit {
                permit.waited(self.awaits, waited);
            }
            self.tell_slow(waited);
        }
        if let Some(permit) = &self.permit {
            permit.touch();
        }
    }

    /// The breaker hears when the wait for the first text was too long. What comes after depends on the length of
    /// the answer and on its reader.
    fn tell_slow(&mut self, waited: Duration) {
        if let (Some(slow), Some(permit)) = (self.slow, &mut self.permit)
            && waited > slow
        {
            permit.mark_slow();
        }
    }

    /// The answer is whole.
    pub(crate) fn answered(mut self: Box<Self>) {
        let change = self.permit.take().map_or(Change::None, Permit::succeed);
        let target = &self.attempt.target;
        match change {
            Change::Closed => {
                tracing::info!(target.id = %target, "`{target}` works again, its breaker closed")
            }
            Change::Opened => {
                tracing::warn!(target.id = %target, "`{target}` is too often slow or fails too often, its breaker opened");
            }
            Change::None => {}
        }
        self.write(AttemptResult::Answered);
    }

    /// The call failed with `fault` and is recorded as `kind`.
    pub(crate) fn failed(mut self: Box<Self>, fault: &Fault, kind: Kind, blame: Blame) {
        let waited = self.clock.now().since(self.began);
        if self.attempt.first_token.is_none() {
            self.tell_slow(waited);
        }
        if let Some(permit) = &self.permit {
            match (blame, fault.kind) {
                // The request's own fault.
                (_, Kind::Caller | Kind::Content) => {}
                (Blame::Target, _) => permit.failed_after(self.awaits, waited),
                (Blame::Deadline, _) => permit.left_after(self.awaits, waited),
            }
        }
        let target = &self.attempt.target;
        let fault_kind = fault.kind.name();
        let change = match (self.permit.take(), blame) {
            (Some(permit), Blame::Target) => permit.fail(fault),
            // Dropping the permit counts as nothing.
            (_, Blame::Deadline) | (None, Blame::Target) => Change::None,
        };
        match change {
            Change::Opened if fault.kind == Kind::RouteFatal => {
                tracing::error!(target.id = %target, fault_kind, "`{target}` will not work until someone acts, its breaker opened");
            }
            Change::Opened => {
                tracing::warn!(target.id = %target, fault_kind, "`{target}` keeps failing, its breaker opened");
            }
            Change::None | Change::Closed => {}
        }
        self.write(AttemptResult::Failed(kind));
    }

    fn write(&mut self, result: AttemptResult) {
        self.attempt.result = result;
        self.attempt.latency = self.clock.now().since(self.began);
        self.settle();
        if let Some(mut hold) = self.hold.take() {
            let usage = self.attempt.usage.or(self.attempt.estimate);
            let is_unused = self.refused && usage.is_none();
            hold.spent = (!is_unused).then_some(Spent { usage, cost: self.attempt.cost });
        }
        self.log.end(self.attempt.clone(), self.place);
    }

    /// What the call cost, once it is over.
    fn settle(&mut self) {
        let is_billed = !self.refused && !matches!(self.pricing, Pricing::Free);
        // Providers bill what they accepted, whether or not they got to say so.
        if is_billed && self.attempt.usage.is_none() {
            self.attempt.estimate = Some(estimate::usage(&self.prompt, self.said));
        }
        let attempt = &self.attempt;
        let (prices, cost) = match (&self.pricing, attempt.usage, attempt.estimate) {
            (Pricing::Free, ..) | (_, None, None) => (None, Cost::FREE),
            (Pricing::Unknown, ..) => (None, Cost::Unpriced),
            (Pricing::PerToken(prices), Some(usage), _) => (Some(prices), Cost::Exact(prices.of(usage))),
            (Pricing::PerToken(prices), None, Some(usage)) => {
                (Some(prices), Cost::Estimated(prices.of(usage)))
            }
        };
        (self.attempt.prices, self.attempt.cost) = (prices.map(|prices| prices.version.clone()), cost);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Without a permit its end is written already.
        if let Some(permit) = self.permit.take() {
            if self.attempt.first_token.is_none() {
                permit.left_after(self.awaits, self.clock.now().since(self.began));
            }
            drop(permit);
            self.write(AttemptResult::Cancelled);
        }
    }
}
