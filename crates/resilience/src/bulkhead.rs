//! The bulkhead of one target: how many calls it may have at once, lowered while it shows that they are too many.
//!
//! Additive increase, multiplicative decrease (D. Chiu, R. Jain, 1989; the back-off of nine tenths is that of
//! Netflix's `concurrency-limits`). A call too many is not queued: whoever asks goes on to the next target at once.

use std::time::Duration;

use domain::time::Moment;

use crate::{InvalidSetting, duration_text};

/// Settings of a bulkhead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Most calls of one target at once. Lowered to nine tenths of the calls under way each second in which the target
    /// answers 429 or more slowly than its `slow_ms`; raised by one for each round of good answers.
    pub calls_max: u32,
    /// It is never lowered below this.
    pub calls_min: u32,
    /// A limit that was not lowered for this long is forgotten.
    #[serde(with = "duration_text")]
    pub forget: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { calls_max: 1_024, calls_min: 16, forget: Duration::from_secs(60) }
    }
}

impl Config {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`InvalidSetting`] naming the setting.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        if self.calls_min == 0 {
            return Err(InvalidSetting { setting: "calls_min", problem: "must be above zero" });
        }
        if self.calls_min > self.calls_max {
            return Err(InvalidSetting { setting: "calls_min", problem: "must not be above `calls_max`" });
        }
        if self.forget < LOWER_EVERY {
            return Err(InvalidSetting { setting: "forget", problem: "must be at least 1s" });
        }
        Ok(())
    }
}

/// A target that had too many calls says so for each of them: the limit falls once for all of them.
const LOWER_EVERY: Duration = Duration::from_secs(1);
/// The limit is kept in thousandths of a call.
const ONE: u64 = 1_000;

/// What a finished call says about the number of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// So many can be answered.
    Well,
    /// They are too many.
    TooMany,
    /// Nothing.
    Nothing,
}

/// How many calls a target has, and may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Calls under way.
    pub calls: u32,
    /// Most calls at once, as of now.
    pub limit: u32,
}

/// The bulkhead of one target.
#[derive(Debug, Clone)]
pub(crate) struct Bulkhead {
    config: Config,
    calls: u32,
    /// Thousandths of a call.
    limit: u64,
    /// When it was lowered last; `None` while nothing speaks against the most.
    lowered_at: Option<Moment>,
}

impl Bulkhead {
    pub(crate) fn new(config: Config) -> Self {
        Self { config, calls: 0, limit: u64::from(config.calls_max) * ONE, lowered_at: None }
    }

    /// Takes a place for one call; `false` when there is none.
    pub(crate) fn enter(&mut self, now: Moment) -> bool {
        let Reading { calls, limit } = self.read(now);
        let is_free = calls < limit;
        self.calls += u32::from(is_free);
        is_free
    }

    /// Gives a place back.
    pub(crate) fn leave(&mut self, signal: Signal, now: Moment) {
        let limit_max = u64::from(self.config.calls_max) * ONE;
        let before = self.read(now);
        self.calls = before.calls.saturating_sub(1);
        match signal {
            Signal::TooMany if self.lowered_at.is_none_or(|at| now.since(at) >= LOWER_EVERY) => {
                let lowered = self.limit.min(u64::from(before.calls) * ONE) / 10 * 9;
                self.limit = lowered.max(u64::from(self.config.calls_min) * ONE);
                self.lowered_at = Some(now);
            }
            // Answers to a few calls do not say that more could be answered.
            Signal::Well if u64::from(before.calls) * 2 * ONE >= self.limit => {
                self.limit = (self.limit + ONE * ONE / self.limit.max(ONE)).min(limit_max);
            }
            Signal::TooMany | Signal::Well | Signal::Nothing => {}
        }
    }

    /// Forgets what lowered it; calls under way stay counted.
    pub(crate) fn reset(&mut self) {
        *self = Self { calls: self.calls, ..Self::new(self.config) };
    }

    pub(crate) fn read(&mut self, now: Moment) -> Reading {
        if self.lowered_at.is_some_and(|at| now.since(at) >= self.config.forget) {
            self.reset();
        }
        Reading { calls: self.calls, limit: u32::try_from(self.limit / ONE).unwrap_or(u32::MAX) }
    }
}

#[cfg(test)]
mod tests {
    use testkit::SeededRng;

    use super::*;
    use crate::chance::below;

    fn at(seconds: u64) -> Moment {
        Moment(Duration::from_secs(seconds))
    }

    fn filled(config: Config, calls: u32) -> Bulkhead {
        let mut bulkhead = Bulkhead::new(config);
        for n in 0..calls {
            assert!(bulkhead.enter(at(0)), "call {n}");
        }
        bulkhead
    }

    #[test]
    fn the_call_after_the_last_place_has_none() {
        let mut bulkhead = filled(Config { calls_max: 20, ..Config::default() }, 20);
        assert!(!bulkhead.enter(at(0)));
        bulkhead.leave(Signal::Nothing, at(0));
        assert!(bulkhead.enter(at(0)));
        assert!(!bulkhead.enter(at(0)));
    }

    #[test]
    fn too_many_calls_lower_it_once_a_second_to_nine_tenths_of_them() {
        let mut bulkhead = filled(Config::default(), 100);
        for _ in 0..50 {
            bulkhead.leave(Signal::TooMany, at(0));
        }
        assert_eq!(bulkhead.read(at(0)), Reading { calls: 50, limit: 90 });
        bulkhead.leave(Signal::TooMany, at(1));
        assert_eq!(bulkhead.read(at(1)), Reading { calls: 49, limit: 45 });
        for second in 2..40 {
            bulkhead.leave(Signal::TooMany, at(second));
        }
        assert_eq!(bulkhead.read(at(40)).limit, 16, "never below the least");
        assert_eq!(bulkhead.read(at(98)).limit, 16);
        assert_eq!(bulkhead.read(at(99)).limit, 1_024, "forgotten after a minute without a sign");
    }

    #[test]
    fn a_round_of_good_answers_raises_it_by_one() {
        let mut bulkhead = filled(Config::default(), 20);
        bulkhead.leave(Signal::TooMany, at(0));
        assert_eq!(bulkhead.read(at(0)), Reading { calls: 19, limit: 18 });
        for _ in 0..20 {
            bulkhead.leave(Signal::Well, at(0));
            bulkhead.calls += 1;
        }
        assert_eq!(bulkhead.read(at(0)).limit, 19);
        bulkhead.calls = 4;
        for _ in 0..4 {
            bulkhead.leave(Signal::Well, at(0));
        }
        assert_eq!(bulkhead.read(at(0)).limit, 19, "few calls say nothing about many");
    }

    #[test]
    fn a_reset_forgets_the_limit_and_keeps_the_calls() {
        let mut bulkhead = filled(Config::default(), 40);
        bulkhead.leave(Signal::TooMany, at(0));
        bulkhead.reset();
        assert_eq!(bulkhead.read(at(0)), Reading { calls: 39, limit: 1_024 });
    }

    #[test]
    fn every_history_keeps_the_bounds() {
        let mut refused = 0;
        for seed in 0..5_000 {
            let rng = SeededRng::new(seed);
            let least = 1 + u32::try_from(below(&rng, 8)).unwrap();
            let config = Config { calls_min: least, calls_max: least + 30, forget: Duration::from_secs(10) };
            let (mut bulkhead, mut now, mut calls) = (Bulkhead::new(config), Moment::default(), 0);
            let mut lowered_at = None;
            for _ in 0..300 {
                let before = bulkhead.read(now);
                assert_eq!(before.calls, calls, "seed {seed}: a place is lost or made up");
                assert!(
                    (config.calls_min..=config.calls_max).contains(&before.limit),
                    "seed {seed}: {before:?}"
                );
                match below(&rng, 8) {
                    0 => now = now.after(Duration::from_millis(below(&rng, 3_000))),
                    1..=4 => {
                        let entered = bulkhead.enter(now);
                        assert_eq!(entered, calls < before.limit, "seed {seed}: {before:?}");
                        calls += u32::from(entered);
                        refused += u32::from(!entered);
                    }
                    n if calls > 0 => {
                        let signal = match n {
                            5 => Signal::TooMany,
                            6 => Signal::Well,
                            _ => Signal::Nothing,
                        };
                        bulkhead.leave(signal, now);
                        calls -= 1;
                        let after = bulkhead.read(now);
                        assert!(after.limit <= before.limit + 1, "seed {seed}: rises slowly");
                        assert!(after.limit >= before.limit || signal == Signal::TooMany, "seed {seed}");
                        if after.limit < before.limit {
                            let gap = lowered_at.map_or(LOWER_EVERY, |at| now.since(at));
                            assert!(gap >= LOWER_EVERY, "seed {seed}: lowered twice within {gap:?}");
                            lowered_at = Some(now);
                        }
                    }
                    _ => {}
                }
            }
            while calls > 0 {
                bulkhead.leave(Signal::Nothing, now);
                calls -= 1;
            }
            let end = bulkhead.read(now.after(config.forget));
            assert_eq!(end, Reading { calls: 0, limit: config.calls_max }, "seed {seed}: it recovers");
        }
        assert!(refused > 10_000, "the histories must be eventful: {refused}");
    }

    #[test]
    fn impossible_settings_are_named() {
        for (text, setting) in [
            (r#"{"calls_min": 0}"#, "calls_min"),
            (r#"{"calls_max": 3}"#, "calls_min"),
            (r#"{"forget": "10ms"}"#, "forget"),
        ] {
            let config: Config = serde_json::from_str(text).unwrap();
            assert_eq!(config.validate().unwrap_err().setting, setting);
        }
        Config::default().validate().unwrap();
    }
}
