//! The breaker of one target: a state machine that stops calls to what does not work.
//!
//! Closed means traffic flows. It opens at a number of failures in a row, or at once when the target says that
//! it will never work. After its time one probe decides: success closes, failure opens for longer. Being asked
//! to slow down shuts a quota gate beside it and never counts. Over a window it also opens when too large a share
//! of the calls failed, or was slower than the target's own limit: an ill target need not fail five times in a row.

use std::time::Duration;

use domain::fault::{Fault, Kind, Retry};
use domain::ports::{BreakerEntry, Rng};
use domain::time::{Moment, Timestamp};

use crate::{InvalidSetting, chance, duration_text};

#[cfg(test)]
mod simulation;
mod window;

pub use window::Counts;
use window::Window;

/// Settings of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Failures in a row that open the breaker.
    pub failures_max: u32,
    /// Percent of the calls in `window` that open the breaker when they failed.
    pub failure_percent: u32,
    /// Percent of the calls in `window` that open the breaker when they were slower than the model's `slow_ms`.
    pub slow_percent: u32,
    /// Fewer calls than this in `window` say nothing about shares.
    pub calls_min: u32,
    /// How far back calls count towards the shares; counted in twelfths of it.
    #[serde(with = "duration_text")]
    pub window: Duration,
    /// How long it stays open the first time; doubled each further time.
    #[serde(with = "duration_text")]
    pub open: Duration,
    /// The longest it stays open, before up to a tenth is added.
    #[serde(with = "duration_text")]
    pub open_max: Duration,
    /// A probe without any sign of life for this long has failed.
    #[serde(with = "duration_text")]
    pub probe: Duration,
    /// How long a target that asked to slow down is left alone, when it does not say.
    #[serde(with = "duration_text")]
    pub quota: Duration,
    /// The longest a target can ask to be left alone.
    #[serde(with = "duration_text")]
    pub quota_max: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            failures_max: 5,
            failure_percent: 50,
            slow_percent: 80,
            calls_min: 20,
            window: Duration::from_secs(60),
            open: Duration::from_secs(30),
            open_max: Duration::from_secs(300),
            probe: Duration::from_secs(30),
            quota: Duration::from_secs(1),
            quota_max: Duration::from_secs(3_600),
        }
    }
}

/// After the first time, up to one part in this many is added to the open time, so that targets that failed
/// together are not probed together.
const JITTER_PART: u32 = 10;

impl Config {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`InvalidSetting`] naming the setting.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        let zero = |setting| InvalidSetting { setting, problem: "must be above zero" };
        for (setting, value) in [("failures_max", self.failures_max), ("calls_min", self.calls_min)] {
            if value == 0 {
                return Err(zero(setting));
            }
        }
        for (setting, value) in
            [("failure_percent", self.failure_percent), ("slow_percent", self.slow_percent)]
        {
            if !(1..=100).contains(&value) {
                return Err(InvalidSetting { setting, problem: "must be 1 to 100" });
            }
        }
        if self.window < Duration::from_secs(1) {
            return Err(InvalidSetting { setting: "window", problem: "must be at least 1s" });
        }
        for (setting, value) in [("open", self.open), ("probe", self.probe), ("quota", self.quota)] {
            if value.is_zero() {
                return Err(zero(setting));
            }
        }
        if self.open > self.open_max {
            return Err(InvalidSetting { setting: "open", problem: "must not be above `open_max`" });
        }
        if self.quota > self.quota_max {
            return Err(InvalidSetting { setting: "quota", problem: "must not be above `quota_max`" });
        }
        Ok(())
    }

    /// The open time when it opens for the `opens`-th time in a row (from 1).
    fn open_time(&self, opens: u32, rng: &dyn Rng) -> Duration {
        let doublings = opens.saturating_sub(1);
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        let time = self.open.saturating_mul(factor).min(self.open_max);
        // The first time is exact.
        if doublings == 0 { time } else { time.saturating_add(chance::up_to(rng, time / JITTER_PART)) }
    }

    /// The longest that any open time can be.
    fn open_limit(&self) -> Duration {
        self.open_max.saturating_add(self.open_max / JITTER_PART)
    }
}

/// What a finished call says about its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It works.
    Success,
    /// It failed in a way that counts.
    Failure,
    /// It will not work until someone acts.
    RouteFatal,
    /// It asked to be left alone, for this long where it said so.
    Throttled(Option<Duration>),
    /// Nothing: the request was at fault, we were, or nobody waited for the answer.
    Ignored,
}

impl Outcome {
    /// What `fault` says about the target that it came from.
    #[must_use]
    pub fn of(fault: &Fault) -> Self {
        match fault.kind {
            Kind::Transient | Kind::Timeout | Kind::Truncated => Self::Failure,
            Kind::RouteFatal => Self::RouteFatal,
            Kind::Throttled => Self::Throttled(match fault.retry {
                Retry::After(wait) => Some(wait),
                Retry::Never | Retry::Here | Retry::Elsewhere => None,
            }),
            Kind::Caller | Kind::Content | Kind::Unavailable => Self::Ignored,
        }
    }
}

/// Why a target may not be called now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The breaker is open until then.
    #[error("its breaker is open")]
    Open {
        /// When one probe may go.
        until: Moment,
    },
    /// The breaker is half-open and its probe is under way.
    #[error("its breaker is half-open and a probe is under way")]
    Probing,
    /// The target asked to be left alone until then.
    #[error("it asked to slow down")]
    Quota {
        /// When it may be called again.
        until: Moment,
    },
    /// It has as many calls as it may have.
    #[error("it has as many calls as it may have at once")]
    Full,
}

/// The right to make one call; given back to [`Breaker::settle`].
#[derive(Debug)]
#[must_use = "a ticket that is not settled keeps the probe's place until its time is over"]
pub struct Ticket {
    sequence: u64,
    epoch: u64,
    is_slow: bool,
}

impl Ticket {
    /// The call took longer than its target's limit. Says nothing about how it ends.
    pub fn mark_slow(&mut self) {
        self.is_slow = true;
    }

    pub(crate) fn is_slow(&self) -> bool {
        self.is_slow
    }
}

/// Why a breaker opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Too many failures in a row.
    Failures,
    /// Too large a share of the calls in the window failed.
    FailureRate,
    /// Too large a share of the calls in the window was slow.
    Slowness,
    /// The target said that it will not work until someone acts.
    RouteFatal,
    /// The probe failed or said nothing.
    Probe,
    /// It was open before the restart.
    Restored,
}

impl Cause {
    /// The stable name used in health reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Failures => "failures",
            Self::FailureRate => "failure_rate",
            Self::Slowness => "slowness",
            Self::RouteFatal => "route_fatal",
            Self::Probe => "probe",
            Self::Restored => "restored",
        }
    }

    /// The same as a sentence for people.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Failures => "too many calls failed in a row",
            Self::FailureRate => "too many of its last calls failed",
            Self::Slowness => "too many of its last calls were slow",
            Self::RouteFatal => "it said that it will not work until someone acts",
            Self::Probe => "the call that tried it again failed",
            Self::Restored => "it was open before the restart",
        }
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

/// What a breaker looks like from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Traffic flows.
    Closed,
    /// One probe decides.
    HalfOpen,
    /// No calls until then.
    Open {
        /// When one probe may go.
        until: Moment,
    },
}

impl Position {
    /// The stable name used in health reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half-open",
            Self::Open { .. } => "open",
        }
    }

    /// The value of the breaker metric: 0 closed, 1 half-open, 2 open.
    #[must_use]
    pub fn metric(self) -> i64 {
        match self {
            Self::Closed => 0,
            Self::HalfOpen => 1,
            Self::Open { .. } => 2,
        }
    }
}

/// A breaker's state for health reports and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Where it stands.
    pub position: Position,
    /// Failures in a row.
    pub failures: u32,
    /// The calls of its window; none unless closed.
    pub counts: Counts,
    /// Times it opened since it last closed.
    pub opens: u32,
    /// Why it opened last; `None` when closed.
    pub cause: Option<Cause>,
    /// Until when the target asked to be left alone.
    pub quota_until: Option<Moment>,
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
        Ok(Ticket { sequence, epoch: self.epoch, is_slow: false })
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

#[cfg(test)]
mod tests {
    use domain::id::TargetId;

    use super::*;
    use crate::simulated::Constant;

    /// No chance at all: nothing is added to open times.
    const EXACT: Constant = Constant(0);

    fn at(seconds: u64) -> Moment {
        Moment(Duration::from_secs(seconds))
    }

    fn call(breaker: &mut Breaker, now: Moment, outcome: Outcome) {
        let ticket = breaker.admit(now, &EXACT).expect("admitted");
        breaker.settle(ticket, outcome, now, &EXACT);
    }

    /// A breaker that opened at second 0 for 30 s.
    fn opened() -> Breaker {
        let mut breaker = Breaker::new(Config::default());
        for _ in 0..5 {
            call(&mut breaker, at(0), Outcome::Failure);
        }
        breaker
    }

    fn position(breaker: &mut Breaker, now: Moment) -> Position {
        breaker.read(now, &EXACT).position
    }

    #[test]
    fn the_fifth_failure_in_a_row_opens_for_exactly_30_s() {
        let mut breaker = Breaker::new(Config::default());
        for n in 1..=4 {
            call(&mut breaker, at(0), Outcome::Failure);
            assert_eq!(position(&mut breaker, at(0)), Position::Closed, "after {n}");
        }
        let ticket = breaker.admit(at(0), &EXACT).unwrap();
        breaker.settle(ticket, Outcome::Failure, at(0), &Constant(u64::MAX));
        assert_eq!(position(&mut breaker, at(0)), Position::Open { until: at(30) });
        let just_before = Moment(Duration::from_millis(29_999));
        assert_eq!(breaker.admit(just_before, &EXACT).unwrap_err(), Refused::Open { until: at(30) });
        assert_eq!(position(&mut breaker, at(30)), Position::HalfOpen);
    }

    #[test]
    fn only_a_success_that_started_after_the_last_failure_resets_the_count() {
        let mut breaker = Breaker::new(Config::default());
        let early = breaker.admit(at(0), &EXACT).unwrap();
        for _ in 0..4 {
            call(&mut breaker, at(0), Outcome::Failure);
        }
        breaker.settle(early, Outcome::Success, at(9), &EXACT);
        assert_eq!(breaker.read(at(9), &EXACT).failures, 4);
        // Started at the same moment as the last failure, but after it.
        call(&mut breaker, at(0), Outcome::Success);
        assert_eq!(breaker.read(at(9), &EXACT).failures, 0);
    }

    /// Settles a call that was slow.
    fn slow_call(breaker: &mut Breaker, now: Moment, outcome: Outcome) {
        let mut ticket = breaker.admit(now, &EXACT).expect("admitted");
        ticket.mark_slow();
        breaker.settle(ticket, outcome, now, &EXACT);
    }

    #[test]
    fn half_of_twenty_failed_calls_open_within_the_window_only() {
        for (gap_s, failed_of_20, want) in [
            (1, 10, Some(Cause::FailureRate)),
            (1, 9, None),
            (3, 10, Some(Cause::FailureRate)),
            (4, 10, None), // 20 calls take longer than a minute
        ] {
            let mut breaker = Breaker::new(Config::default());
            // Never many failures in a row.
            for n in 0..20_u64 {
                let failed = n % 2 == 0 && n / 2 < failed_of_20;
                let outcome = if failed { Outcome::Failure } else { Outcome::Success };
                assert_eq!(position(&mut breaker, at(n * gap_s)), Position::Closed, "call {n}");
                call(&mut breaker, at(n * gap_s), outcome);
            }
            let reading = breaker.read(at(19 * gap_s), &EXACT);
            assert_eq!(reading.cause, want, "every {gap_s} s, {failed_of_20} failed");
        }
    }

    #[test]
    fn four_of_five_slow_calls_open_whether_they_succeed_or_not() {
        for (n_slow, want) in [(16, Some(Cause::Slowness)), (15, None)] {
            let mut breaker = Breaker::new(Config::default());
            for n in 0..20 {
                match n < 20 - n_slow {
                    true => call(&mut breaker, at(n), Outcome::Success),
                    false => slow_call(&mut breaker, at(n), Outcome::Success),
                }
            }
            assert_eq!(breaker.read(at(20), &EXACT).cause, want, "{n_slow} slow");
        }
    }

    #[test]
    fn shares_start_anew_after_a_probe() {
        let mut breaker = Breaker::new(Config::default());
        for n in 0..20 {
            slow_call(&mut breaker, at(n), Outcome::Success);
        }
        slow_call(&mut breaker, at(49), Outcome::Success);
        let reading = breaker.read(at(49), &EXACT);
        assert_eq!((reading.position, reading.counts), (Position::Closed, Counts::default()));
    }

    #[test]
    fn throttled_and_ignored_calls_never_count() {
        let mut breaker = Breaker::new(Config::default());
        for second in 0..100 {
            call(&mut breaker, at(second * 2), Outcome::Throttled(None));
            call(&mut breaker, at(second * 2 + 1), Outcome::Ignored);
        }
        let reading = breaker.read(at(1_000), &EXACT);
        assert_eq!((reading.position, reading.failures), (Position::Closed, 0));
        assert_eq!(breaker.read(at(199), &EXACT).counts, Counts::default());
    }

    #[test]
    fn the_quota_gate_holds_for_as_long_as_asked_within_its_bounds() {
        for (asked, want_s) in [(None, 1), (Some(7), 7), (Some(0), 0), (Some(1_000_000), 3_600)] {
            let mut breaker = Breaker::new(Config::default());
            call(&mut breaker, at(0), Outcome::Throttled(asked.map(Duration::from_secs)));
            if want_s > 0 {
                let refused = breaker.admit(at(want_s - 1), &EXACT).unwrap_err();
                assert_eq!(refused, Refused::Quota { until: at(want_s) }, "{asked:?}");
            }
            call(&mut breaker, at(want_s), Outcome::Success);
        }
        // A shorter wish does not open a gate that a longer one shut.
        let mut breaker = Breaker::new(Config::default());
        let late = breaker.admit(at(0), &EXACT).unwrap();
        call(&mut breaker, at(0), Outcome::Throttled(Some(Duration::from_secs(9))));
        breaker.settle(late, Outcome::Throttled(None), at(0), &EXACT);
        assert_eq!(breaker.admit(at(8), &EXACT).unwrap_err(), Refused::Quota { until: at(9) });
    }

    #[test]
    fn a_route_that_is_fatal_is_ejected_at_once() {
        let mut breaker = Breaker::new(Config { failures_max: u32::MAX, ..Config::default() });
        call(&mut breaker, at(0), Outcome::RouteFatal);
        let reading = breaker.read(at(0), &EXACT);
        assert_eq!(
            (reading.position, reading.cause),
            (Position::Open { until: at(30) }, Some(Cause::RouteFatal))
        );
    }

    #[test]
    fn one_probe_at_a_time_and_its_success_closes() {
        let mut breaker = opened();
        let probe = breaker.admit(at(30), &EXACT).unwrap();
        assert_eq!(breaker.admit(at(30), &EXACT).unwrap_err(), Refused::Probing);
        breaker.settle(probe, Outcome::Success, at(31), &EXACT);
        let reading = breaker.read(at(31), &EXACT);
        assert_eq!((reading.position, reading.failures, reading.opens), (Position::Closed, 0, 0));
        assert_eq!(reading.cause, None);
    }

    #[test]
    fn failed_probes_double_the_time_up_to_300_s() {
        let mut breaker = opened();
        let mut now = at(30);
        for want_s in [60, 120, 240, 300, 300] {
            call(&mut breaker, now, Outcome::Failure);
            let until = now.after(Duration::from_secs(want_s));
            assert_eq!(position(&mut breaker, now), Position::Open { until });
            now = until;
        }
        // At most a tenth is added.
        let ticket = breaker.admit(now, &EXACT).unwrap();
        breaker.settle(ticket, Outcome::Failure, now, &Constant(u64::MAX));
        let until = now.after(Duration::from_secs(330));
        assert_eq!(position(&mut breaker, now), Position::Open { until });
    }

    #[test]
    fn a_probe_that_says_nothing_about_the_target_frees_its_place() {
        for outcome in [Outcome::Ignored, Outcome::Throttled(Some(Duration::ZERO))] {
            let mut breaker = opened();
            call(&mut breaker, at(30), outcome);
            assert_eq!(position(&mut breaker, at(30)), Position::HalfOpen, "{outcome:?}");
            call(&mut breaker, at(30), Outcome::Success);
            assert_eq!(position(&mut breaker, at(30)), Position::Closed, "{outcome:?}");
        }
    }

    #[test]
    fn a_hanging_probe_is_given_up_and_its_late_result_ignored() {
        let mut breaker = opened();
        let probe = breaker.admit(at(30), &EXACT).unwrap();
        assert_eq!(position(&mut breaker, at(59)), Position::HalfOpen);
        assert_eq!(position(&mut breaker, at(60)), Position::Open { until: at(120) });
        breaker.settle(probe, Outcome::Success, at(61), &EXACT);
        assert_eq!(position(&mut breaker, at(61)), Position::Open { until: at(120) });
        // Nobody looked for an hour: the next call may probe.
        assert_eq!(position(&mut breaker, at(3_600)), Position::HalfOpen);
    }

    #[test]
    fn a_probe_that_shows_life_is_not_given_up() {
        let mut breaker = opened();
        let probe = breaker.admit(at(30), &EXACT).unwrap();
        for second in [55, 80, 105] {
            breaker.touch(&probe, at(second), &EXACT);
        }
        breaker.settle(probe, Outcome::Success, at(130), &EXACT);
        assert_eq!(position(&mut breaker, at(130)), Position::Closed);
    }

    #[test]
    fn calls_from_before_the_opening_say_nothing_afterwards() {
        let mut breaker = Breaker::new(Config::default());
        let old: Vec<Ticket> = (0..6).map(|_| breaker.admit(at(0), &EXACT).unwrap()).collect();
        for _ in 0..5 {
            call(&mut breaker, at(0), Outcome::Failure);
        }
        call(&mut breaker, at(30), Outcome::Success);
        for ticket in old {
            breaker.settle(ticket, Outcome::Failure, at(31), &EXACT);
        }
        assert_eq!(breaker.read(at(31), &EXACT).failures, 0);
    }

    #[test]
    fn state_survives_a_restart_within_bounds() {
        let wall = Timestamp(1_800_000_000_000_000);
        let entry = opened().entry(TargetId::from("a/b"), at(10), wall);
        assert_eq!((entry.failures, entry.opens), (5, 1));
        assert_eq!(entry.open_until, Some(wall.after(Duration::from_secs(20))));

        for (open_until, wall_now, want) in [
            (entry.open_until, wall.after(Duration::from_secs(5)), Position::Open { until: at(15) }),
            (entry.open_until, wall.after(Duration::from_secs(20)), Position::HalfOpen), // its time is over
            (Some(Timestamp(i64::MAX)), wall, Position::Open { until: at(330) }), // the clock was set back
            (None, wall, Position::Closed),
        ] {
            let entry = BreakerEntry { open_until, ..entry.clone() };
            let mut restored = Breaker::restored(Config::default(), &entry, at(0), wall_now);
            assert_eq!(position(&mut restored, at(0)), want, "{open_until:?}");
        }
        // A restored half-open breaker probes once, and its failure opens it for the second time.
        let mut restored =
            Breaker::restored(Config::default(), &entry, at(0), wall.after(Duration::from_secs(99)));
        call(&mut restored, at(0), Outcome::Failure);
        assert_eq!(position(&mut restored, at(0)), Position::Open { until: at(60) });
    }

    #[test]
    fn a_reset_closes_and_forgets_calls_under_way() {
        let mut breaker = opened();
        let probe = breaker.admit(at(30), &EXACT).unwrap();
        breaker.reset();
        breaker.settle(probe, Outcome::RouteFatal, at(30), &EXACT);
        assert_eq!(position(&mut breaker, at(30)), Position::Closed);
    }

    #[test]
    fn faults_say_about_their_target_what_their_kind_says() {
        let throttled =
            Fault { retry: Retry::After(Duration::from_secs(3)), ..Fault::provider(Kind::Throttled) };
        assert_eq!(Outcome::of(&throttled), Outcome::Throttled(Some(Duration::from_secs(3))));
        for (kind, want) in [
            (Kind::Transient, Outcome::Failure),
            (Kind::Timeout, Outcome::Failure),
            (Kind::Truncated, Outcome::Failure),
            (Kind::RouteFatal, Outcome::RouteFatal),
            (Kind::Throttled, Outcome::Throttled(None)),
            (Kind::Caller, Outcome::Ignored),
            (Kind::Content, Outcome::Ignored),
            (Kind::Unavailable, Outcome::Ignored),
        ] {
            assert_eq!(Outcome::of(&Fault::provider(kind)), want, "{kind:?}");
        }
    }

    #[test]
    fn impossible_settings_are_named() {
        for (text, setting) in [
            (r#"{"failures_max": 0}"#, "failures_max"),
            (r#"{"calls_min": 0}"#, "calls_min"),
            (r#"{"failure_percent": 0}"#, "failure_percent"),
            (r#"{"slow_percent": 101}"#, "slow_percent"),
            (r#"{"window": "1ms"}"#, "window"),
            (r#"{"open": "10m"}"#, "open"),
            (r#"{"probe": "0s"}"#, "probe"),
            (r#"{"quota": "2h"}"#, "quota"),
        ] {
            let config: Config = serde_json::from_str(text).unwrap();
            assert_eq!(config.validate().unwrap_err().setting, setting);
        }
        assert!(serde_json::from_str::<Config>(r#"{"failures": 5}"#).is_err());
        Config::default().validate().unwrap();
    }
}
