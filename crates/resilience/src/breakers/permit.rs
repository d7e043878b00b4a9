//! The right to make one call.

use std::sync::Arc;
use std::time::Duration;

use domain::fault::Fault;
use domain::id::TargetId;

use super::{Answer, Breakers, Change, Guards, Shared};
use crate::breaker::{Breaker, Outcome, Ticket};
use crate::bulkhead::Signal;

/// The right to make one call. Dropped without a result (cancelled, panicked), it counts as nothing and frees its
/// place.
#[must_use = "dropping it gives the right back"]
pub struct Permit {
    pub(super) breakers: Breakers,
    pub(super) guards: Arc<Guards>,
    pub(super) target: TargetId,
    pub(super) ticket: Option<Ticket>,
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

    /// The call failed after so long, and its target is to blame.
    pub fn failed_after(&self, answer: Answer, waited: Duration) {
        let now = self.breakers.0.clock.now();
        self.guards.average(answer, |average| average.note_failure(waited, now));
    }

    /// Nobody waited any longer than this for the answer, which had not come.
    pub fn left_after(&self, answer: Answer, waited: Duration) {
        let now = self.breakers.0.clock.now();
        self.guards.average(answer, |average| average.note_at_least(waited, now));
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
        // Each piece of each stream asks: only a probe looks at the time and locks.
        if let Some(ticket) = self.ticket.as_ref().filter(|ticket| ticket.is_probe()) {
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
        let now = self.breakers.0.clock.now();
        self.guards.bulkhead.lock().leave(signal, now);
        let settle = |breaker: &mut Breaker, shared: &Shared| {
            breaker.settle(ticket, outcome, now, &*shared.rng);
        };
        self.breakers.act(&self.target, &self.guards, settle).1
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.settle(Outcome::Ignored);
    }
}
