//! Which failure is tried again and where, how often, and how long one call may take.

use std::time::Duration;

use domain::fault::{Fault, Kind, Retry};
use domain::time::Moment;

use crate::deadline::Deadline;
use crate::{InvalidSetting, backoff, budget, duration_text, hedge};

/// Settings of attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Most attempts in one tier.
    pub attempts_per_tier: u32,
    /// Most failed attempts in one request. Calls to models that run here are not counted.
    pub attempts_per_request: u32,
    /// Most time to the first text of a remote call.
    #[serde(with = "duration_text")]
    pub first_token: Duration,
    /// Most time between two chunks of a remote call.
    #[serde(with = "duration_text")]
    pub silence: Duration,
    /// Most time of one call in all, where the deadline is later.
    #[serde(with = "duration_text")]
    pub call_max: Duration,
    /// The wait before the same target is tried again.
    pub backoff: backoff::Config,
    /// How many retries each provider gets.
    pub budget: budget::Config,
    /// A second call beside one that takes unusually long, for routes with `hedge = "on"`.
    pub hedge: hedge::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            attempts_per_tier: 2,
            attempts_per_request: 3,
            first_token: Duration::from_secs(15),
            silence: Duration::from_secs(15),
            call_max: Duration::from_secs(600),
            backoff: backoff::Config::default(),
            budget: budget::Config::default(),
            hedge: hedge::Config::default(),
        }
    }
}

/// Where a call runs, which decides what limits it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// At a provider: limits on first text and silence; counted towards the request's attempts.
    Remote,
    /// On this machine: queue and prompt take the time they take, only the deadline limits it; not counted.
    Here,
}

impl Config {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`InvalidSetting`] naming the setting.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        let zero = |setting| InvalidSetting { setting, problem: "must be above zero" };
        if self.attempts_per_tier == 0 {
            return Err(zero("attempts_per_tier"));
        }
        if self.attempts_per_request == 0 {
            return Err(zero("attempts_per_request"));
        }
        for (setting, value) in
            [("first_token", self.first_token), ("silence", self.silence), ("call_max", self.call_max)]
        {
            if value.is_zero() {
                return Err(zero(setting));
            }
        }
        self.backoff.validate()?;
        self.budget.validate()?;
        self.hedge.validate()
    }

    /// The limits of a call that starts `now` within its tier's `share`.
    #[must_use]
    pub fn limits(&self, place: Place, now: Moment, share: Deadline) -> Limits {
        let end = share.moment().min(now.after(self.call_max));
        let (first_token, silence) = match place {
            Place::Remote => (self.first_token, self.silence),
            Place::Here => (Duration::MAX, Duration::MAX),
        };
        Limits { end, first_token, silence, hang: self.silence.min(self.first_token) }
    }
}

/// The limits of one running call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// When it ends at the latest.
    pub end: Moment,
    first_token: Duration,
    silence: Duration,
    hang: Duration,
}

impl Limits {
    /// When a call that started at `started` must have sent its first text.
    #[must_use]
    pub fn first_token(&self, started: Moment) -> Moment {
        started.after(self.first_token).min(self.end)
    }

    /// When the next chunk must be there, if the wait for it began at `waiting_since`.
    #[must_use]
    pub fn next_chunk(&self, waiting_since: Moment) -> Moment {
        waiting_since.after(self.silence).min(self.end)
    }

    /// Whether silence from `since` to `now` is the target's failure. A call cut short by a near deadline says
    /// nothing about its target; else callers in a hurry could open the breaker for everyone.
    #[must_use]
    pub fn is_hang(&self, since: Moment, now: Moment) -> bool {
        now.since(since) >= self.hang
    }
}

/// What a ladder does after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The same target may be tried again, after its backoff.
    SameTarget,
    /// Another target or tier may be tried.
    OtherTarget,
    /// No model helps: the same request fails everywhere.
    Stop,
}

/// What follows `fault`.
#[must_use]
pub fn next(fault: &Fault) -> Next {
    match fault.retry {
        // What is not there yet is not waited for: the time it names is for whoever asks again later.
        Retry::After(_) if fault.kind == Kind::Unavailable => Next::OtherTarget,
        Retry::Here | Retry::After(_) => Next::SameTarget,
        Retry::Elsewhere => Next::OtherTarget,
        Retry::Never => Next::Stop,
    }
}

/// Counts the attempts of one request on its way down the ladder.
#[derive(Debug, Clone)]
pub struct Attempts {
    tier_left: u32,
    request_left: u32,
    per_tier: u32,
}

impl Attempts {
    /// Of a request in which `failed_before` counted attempts have failed already.
    #[must_use]
    pub fn new(config: &Config, failed_before: u32) -> Self {
        Self {
            tier_left: config.attempts_per_tier,
            request_left: config.attempts_per_request.saturating_sub(failed_before),
            per_tier: config.attempts_per_tier,
        }
    }

    /// A new tier begins.
    pub fn enter_tier(&mut self) {
        self.tier_left = self.per_tier;
    }

    /// Whether a call at `place` may start in this tier.
    #[must_use]
    pub fn may_start(&self, place: Place) -> bool {
        self.tier_left > 0 && (place == Place::Here || self.request_left > 0)
    }

    /// A call at `place` starts.
    pub fn start(&mut self, place: Place) {
        self.tier_left = self.tier_left.saturating_sub(1);
        if place == Place::Remote {
            self.request_left = self.request_left.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(seconds: u64) -> Moment {
        Moment(Duration::from_secs(seconds))
    }

    #[test]
    fn transient_throttled_and_timeout_are_retried_the_rest_moves_on_or_stops() {
        for (kind, want) in [
            (Kind::Transient, Next::SameTarget),
            (Kind::Throttled, Next::SameTarget),
            (Kind::Timeout, Next::SameTarget),
            (Kind::RouteFatal, Next::OtherTarget),
            (Kind::Unavailable, Next::OtherTarget),
            (Kind::Caller, Next::Stop),
            (Kind::Content, Next::Stop),
        ] {
            assert_eq!(next(&Fault::provider(kind)), want, "{kind:?}");
        }
        let coming = Fault { retry: Retry::After(Duration::from_secs(5)), ..Fault::unavailable() };
        assert_eq!(next(&coming), Next::OtherTarget, "what is not there yet is not waited for");
        // A request too long for one model may fit into another.
        let too_long = Fault { retry: Retry::Elsewhere, ..Fault::provider(Kind::Caller) };
        assert_eq!(next(&too_long), Next::OtherTarget);
    }

    #[test]
    fn two_attempts_per_tier_three_per_request_and_here_is_not_counted() {
        let mut attempts = Attempts::new(&Config::default(), 0);
        let mut made = Vec::new();
        for (tier, place) in [(1, Place::Remote), (2, Place::Remote), (3, Place::Remote), (4, Place::Here)] {
            attempts.enter_tier();
            while attempts.may_start(place) {
                attempts.start(place);
                made.push(tier);
            }
        }
        assert_eq!(made, [1, 1, 2, 4, 4]);
        assert!(!Attempts::new(&Config::default(), 3).may_start(Place::Remote));
    }

    #[test]
    fn remote_calls_have_limits_of_their_own_and_calls_here_only_the_deadline() {
        let config = Config::default();
        let remote = config.limits(Place::Remote, moment(0), Deadline::at(moment(60)));
        assert_eq!((remote.first_token(moment(0)), remote.next_chunk(moment(50))), (moment(15), moment(60)));
        let here = config.limits(Place::Here, moment(0), Deadline::at(moment(60)));
        assert_eq!((here.first_token(moment(0)), here.next_chunk(moment(20))), (moment(60), moment(60)));
        let long = config.limits(Place::Remote, moment(0), Deadline::at(moment(6_000)));
        assert_eq!(long.end, moment(600));
    }

    #[test]
    fn a_call_cut_by_a_near_deadline_is_no_hang() {
        for (place, silent_for, want) in [
            (Place::Remote, 14, false),
            (Place::Remote, 15, true),
            (Place::Here, 14, false),
            (Place::Here, 15, true), // a worker that says nothing for that long is ill too
        ] {
            let limits = Config::default().limits(place, moment(0), Deadline::at(moment(60)));
            assert_eq!(limits.is_hang(moment(3), moment(3 + silent_for)), want, "{place:?} {silent_for}");
        }
    }

    #[test]
    fn impossible_settings_are_named() {
        for (text, setting) in [
            (r#"{"attempts_per_tier": 0}"#, "attempts_per_tier"),
            (r#"{"silence": "0s"}"#, "silence"),
            (r#"{"budget": {"percent": 101}}"#, "budget.percent"),
            (r#"{"backoff": {"max": "1ms"}}"#, "backoff.first"),
        ] {
            let config: Config = serde_json::from_str(text).unwrap();
            assert_eq!(config.validate().unwrap_err().setting, setting);
        }
        Config::default().validate().unwrap();
    }
}
