//! The breaker of one target: a state machine that stops calls to what does not work.
//!
//! Closed means traffic flows. It opens at a number of failures in a row, or at once when the target says that
//! it will never work. After its time one probe decides: success closes, failure opens for longer. Being asked
//! to slow down shuts a quota gate beside it and never counts. Over a window it also opens when too large a share
//! of the calls failed, or was slower than the target's own limit: an ill target need not fail five times in a row.
//!
//! Reading order: `config`, `outcome` (what calls say), this file (the machine), `window` (the last minute's calls),
//! `reading` (for reports).

use domain::ports::{BreakerEntry, Rng};
use domain::time::{Moment, Timestamp};

mod config;
mod outcome;
mod reading;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod window;

pub use config::Config;
pub use outcome::{Outcome, Refused};
pub use reading::{Cause, Position, Reading};
pub use window::Counts;
use window::Window;

/// The right to make one call; given back to [`Breaker::settle`].
#[derive(Debug)]
#[must_use = "a ticket that is not settled keeps the probe's place until its time is over"]
pub struct Ticket {
    sequence: u64,
    epoch: u64,
    is_probe: bool,
    is_slow: bool,
}

impl Ticket {
    /// The call took longer than its target's limit. Says nothing about how it ends.
    pub fn mark_slow(&mut self) {
        self.is_slow = true;
    }

    /// Whether the breaker waits for the end of this call before it lets others through.
    pub(crate) fn is_probe(&self) -> bool {
        self.is_probe
    }

    pub(crate) fn is_slow(&self) -> bool {
        self.is_slow
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Moment },
    HalfOpen { since: Moment, probe: Option<Probe> },
}

/// The probe under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Probe {
    sequence: u64,
    given_up_at: Moment,
}

/// The breaker of one target.
#[derive(Debug, Clone)]
pub struct Breaker {
    config: Config,
    state: State,
    failures: u32,
    /// Calls settled while closed.
    window: Window,
    opens: u32,
    cause: Option<Cause>,
    quota_until: Option<Moment>,
    /// Orders starts and failures; moments can be equal.
    sequence: u64,
    /// The last failure's place in that order.
    failed_at: u64,
    /// Counts openings and resets: calls that began before the last of them say nothing about now.
    epoch: u64,
    /// Counts changes worth keeping over a restart.
    revision: u64,
}

impl Breaker {
    /// Closed, nothing known.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            state: State::Closed,
            failures: 0,
            window: Window::new(config.window),
            opens: 0,
            cause: None,
            quota_until: None,
            sequence: 0,
            failed_at: 0,
            epoch: 0,
            revision: 0,
        }
    }

    /// As it was before a restart. However far away `open_until` lies (clocks are set), it is open for at most
    /// the longest open time; when that time is over, a probe may go at once.
    #[must_use]
    pub fn restored(config: Config, entry: &BreakerEntry, now: Moment, wall: Timestamp) -> Self {
        let mut breaker = Self::new(config);
        let Some(open_until) = entry.open_until else {
            // One short of opening, so that a restart alone never opens it.
            breaker.failures = entry.failures.min(config.failures_max.saturating_sub(1));
            return breaker;
        };
        let left = open_until.since(wall).min(config.open_limit());
        breaker.state = State::Open { until: now.after(left) };
        breaker.failures = entry.failures;
        breaker.opens = entry.opens.max(1);
        breaker.cause = Some(Cause::Restored);
        breaker
    }

    /// What to keep over a restart.
    #[must_use]
    pub fn entry(&self, target: domain::id::TargetId, now: Moment, wall: Timestamp) -> BreakerEntry {
        let open_until = match self.state {
            State::Closed => None,
            State::Open { until } => Some(wall.after(until.since(now))),
            State::HalfOpen { since, .. } => {
                let micros = i64::try_from(now.since(since).as_micros()).unwrap_or(i64::MAX);
                Some(Timestamp(wall.0.saturating_sub(micros)))
            }
        };
        BreakerEntry { target, failures: self.failures, opens: self.opens, open_until, at: wall }
    }

    /// Asks to make one call.
    ///
    /// # Errors
    /// [`Refused`] when the target must not be called now.
    pub fn admit(&mut self, now: Moment, rng: &dyn Rng) -> Result<Ticket, Refused> {
        self.advance(now, rng);
        if let Some(until) = self.quota_until {
            return Err(Refused::Quota { until });
        }
        let sequence = self.sequence + 1;
        match &mut self.state {
            State::Closed => {}
            State::Open { until } => return Err(Refused::Open { until: *until }),
            State::HalfOpen { probe: Some(_), .. } => return Err(Refused::Probing),
            State::HalfOpen { probe, .. } => {
                *probe = Some(Probe { sequence, given_up_at: now.after(self.config.probe) });
            }
        }
        self.sequence = sequence;
        let is_probe = matches!(self.state, State::HalfOpen { .. });
        Ok(Ticket { sequence, epoch: self.epoch, is_probe, is_slow: false })
    }

    /// A call is over.
    #[expect(clippy::too_many_arguments, reason = "what ended and how, and the injected time and chance")]
    pub fn settle(&mut self, ticket: Ticket, outcome: Outcome, now: Moment, rng: &dyn Rng) {
        self.advance(now, rng);
        if let Outcome::Throttled(asked) = outcome {
            let wait = asked.unwrap_or(self.config.quota).min(self.config.quota_max);
            self.quota_until = self.quota_until.max(Some(now.after(wait)));
        }
        if ticket.epoch != self.epoch {
            return;
        }
        match (self.state, outcome) {
            (State::Closed, Outcome::Success | Outcome::Failure) => {
                self.count(&ticket, outcome, now);
                if let Some(cause) = self.reason_to_open(now) {
                    self.open(cause, now, rng);
                }
            }
            (State::HalfOpen { .. }, Outcome::Success) => self.close(),
            (State::HalfOpen { .. }, Outcome::Failure) => self.open(Cause::Probe, now, rng),
            (State::Closed | State::HalfOpen { .. }, Outcome::RouteFatal) => {
                self.open(Cause::RouteFatal, now, rng);
            }
            (State::HalfOpen { since, .. }, Outcome::Throttled(_) | Outcome::Ignored) => {
                self.state = State::HalfOpen { since, probe: None };
            }
            (State::Closed, Outcome::Throttled(_) | Outcome::Ignored) | (State::Open { .. }, _) => {}
        }
    }

    /// A call ended while closed.
    fn count(&mut self, ticket: &Ticket, outcome: Outcome, now: Moment) {
        let is_failure = outcome == Outcome::Failure;
        if is_failure {
            self.sequence += 1;
            self.failed_at = self.sequence;
            self.failures = self.failures.saturating_add(1);
        } else if ticket.sequence > self.failed_at {
            self.failures = 0;
        }
        let one = Counts { calls: 1, failures: u32::from(is_failure), slow: u32::from(ticket.is_slow) };
        self.window.add(now, one);
    }

    fn reason_to_open(&mut self, now: Moment) -> Option<Cause> {
        let config = &self.config;
        if self.failures >= config.failures_max {
            return Some(Cause::Failures);
        }
        let counts = self.window.counts(now);
        if counts.calls < config.calls_min {
            return None;
        }
        let reaches =
            |n: u32, percent: u32| u64::from(n) * 100 >= u64::from(counts.calls) * u64::from(percent);
        if reaches(counts.failures, config.failure_percent) {
            return Some(Cause::FailureRate);
        }
        reaches(counts.slow, config.slow_percent).then_some(Cause::Slowness)
    }

    /// The call behind `ticket` shows that it is alive: a probe gets its time anew.
    pub fn touch(&mut self, ticket: &Ticket, now: Moment, rng: &dyn Rng) {
        self.advance(now, rng);
        if let State::HalfOpen { probe: Some(probe), .. } = &mut self.state
            && probe.sequence == ticket.sequence
        {
            probe.given_up_at = now.after(self.config.probe);
        }
    }

    /// Closes it and forgets everything; calls under way no longer count.
    pub fn reset(&mut self) {
        self.epoch += 1;
        self.quota_until = None;
        self.close();
    }

    /// Where it stands.
    pub fn read(&mut self, now: Moment, rng: &dyn Rng) -> Reading {
        self.advance(now, rng);
        Reading {
            position: match self.state {
                State::Closed => Position::Closed,
                State::Open { until } => Position::Open { until },
                State::HalfOpen { .. } => Position::HalfOpen,
            },
            failures: self.failures,
            counts: self.window.counts(now),
            opens: self.opens,
            cause: self.cause,
            quota_until: self.quota_until,
        }
    }

    /// Changes when there is something new to keep over a restart.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether nothing was called or restored yet.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.sequence == 0 && self.state == State::Closed && self.revision == 0
    }

    /// Whether traffic flows.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Lets the time that has passed take effect.
    fn advance(&mut self, now: Moment, rng: &dyn Rng) {
        if self.quota_until.is_some_and(|until| until <= now) {
            self.quota_until = None;
        }
        if let State::HalfOpen { probe: Some(Probe { given_up_at, .. }), .. } = self.state
            && given_up_at <= now
        {
            self.open(Cause::Probe, given_up_at, rng);
        }
        if let State::Open { until } = self.state
            && until <= now
        {
            self.state = State::HalfOpen { since: until, probe: None };
        }
    }

    fn open(&mut self, cause: Cause, at: Moment, rng: &dyn Rng) {
        self.opens = self.opens.saturating_add(1);
        self.epoch += 1;
        self.revision += 1;
        self.cause = Some(cause);
        self.window.clear();
        self.state = State::Open { until: at.after(self.config.open_time(self.opens, rng)) };
    }

    fn close(&mut self) {
        self.revision += 1;
        self.state = State::Closed;
        self.failures = 0;
        self.window.clear();
        self.opens = 0;
        self.cause = None;
    }
}
