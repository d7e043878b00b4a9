//! A call under way, and how its end is told: to its target's breaker, to its purse and to the log.

use std::sync::Arc;
use std::time::Duration;

use domain::chat::Done;
use domain::fault::{Fault, Kind};
use domain::interaction::{Attempt, AttemptResult, Chosen};
use domain::meter::{Meter, Stated};
use domain::model::{Model, Target, Tier};
use domain::money::Amount;
use domain::ports::Clock;
use domain::price::Cost;
use domain::spending::Spent;
use domain::time::Moment;
use domain::token::Usage;
use resilience::breakers::{Answer, Change, Permit};
use resilience::policy::Place;

use super::{AttemptLog, Hold, Pricing, place};
use crate::estimate::{self, Prompt};

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
    /// What its provider states of what it uses.
    meter: Meter,
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
            meter: Meter::default(),
        })
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    pub(crate) fn meter(&self) -> Meter {
        self.meter.clone()
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

    /// The provider said what a call used that has failed.
    pub(crate) fn used(&mut self, usage: Option<Usage>) {
        self.attempt.usage = usage.or(self.attempt.usage);
    }

    /// The model said that it is done.
    pub(crate) fn done(&mut self, done: Done) {
        // What was stated before the reason for the end, and not again with it, is no more than that.
        let is_final = |usage: &Usage| self.meter.read() != Some(Stated::SoFar(*usage));
        self.attempt.usage = done.usage.filter(is_final).or(self.attempt.usage);
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
        if self.attempt.usage.is_none() {
            // Providers bill what they accepted, whether or not they got to say so.
            let estimated = || is_billed.then(|| estimate::usage(&self.prompt, self.said));
            (self.attempt.usage, self.attempt.estimate) = match self.meter.read() {
                Some(Stated::Finally(usage)) => (Some(usage), None),
                Some(Stated::SoFar(stated)) => {
                    (None, estimated().map(|estimated| estimate::beyond(stated, estimated)))
                }
                None => (None, estimated()),
            };
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
