//! Hedging: when a target takes longer than it nearly always does, another one is asked beside it, and the first good
//! answer wins (J. Dean, L. A. Barroso, "The Tail at Scale", 2013: hedge after the 95th percentile, and the load grows
//! by a few percent at most).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::{InvalidSetting, duration_text};

/// Settings of hedging, for the routes that ask for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Percent of the requests that may be hedged, at most; each takes a retry from the provider's budget, too.
    pub percent: u32,
    /// Answers of a target in the last minute or two, without which nobody knows what takes it unusually long.
    pub calls_min: u32,
    /// A target is never hedged sooner than this.
    #[serde(with = "duration_text")]
    pub after_min: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { percent: 2, calls_min: 100, after_min: Duration::from_millis(50) }
    }
}

impl Config {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`InvalidSetting`] naming the setting.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        match self.percent {
            1..=10 => Ok(()),
            _ => Err(InvalidSetting { setting: "hedge.percent", problem: "must be 1 to 10" }),
        }
    }
}

/// The quantile of a target's waits after which it is hedged, in percent.
pub const PERCENTILE: u32 = 95;
/// A hedge costs this many hundredths.
const HEDGE: u64 = 100;
/// Hedges that may be saved up.
const SAVED_MAX: u64 = 10;

/// How many hedges there were since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reading {
    /// The second target gave the answer.
    pub won: u64,
    /// The first one did after all.
    pub lost: u64,
    /// Neither did.
    pub failed: u64,
    /// None was made, since the share of requests was used up, or the provider's retries.
    pub capped: u64,
}

/// How a hedge, or the wish for one, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The second target gave the answer.
    Won,
    /// The first one did after all, or nobody waited any more.
    Lost,
    /// Neither did.
    Failed,
    /// None was made.
    Capped,
}

/// The share of requests that may be hedged: a bucket that requests fill and hedges empty. It starts empty, so that
/// there are never more hedges than the share.
#[derive(Debug)]
pub struct Hedges {
    config: Config,
    /// Hundredths of a hedge.
    balance: Mutex<u64>,
    won: AtomicU64,
    lost: AtomicU64,
    failed: AtomicU64,
    capped: AtomicU64,
}

impl Hedges {
    /// None so far.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let zero = || AtomicU64::new(0);
        Self { config, balance: Mutex::new(0), won: zero(), lost: zero(), failed: zero(), capped: zero() }
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// A request that could be hedged.
    pub fn deposit(&self) {
        let mut balance = self.balance.lock();
        *balance = (*balance + u64::from(self.config.percent)).min(SAVED_MAX * HEDGE);
    }

    /// Takes one hedge out; `false` when there is none.
    #[must_use]
    pub fn withdraw(&self) -> bool {
        let mut balance = self.balance.lock();
        let left = balance.checked_sub(HEDGE);
        *balance = left.unwrap_or(*balance);
        left.is_some()
    }

    /// A hedge that was taken out could not be made.
    pub fn give_back(&self) {
        *self.balance.lock() += HEDGE;
    }

    /// Counts how one ended.
    pub fn count(&self, end: End) {
        let count = match end {
            End::Won => &self.won,
            End::Lost => &self.lost,
            End::Failed => &self.failed,
            End::Capped => &self.capped,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were.
    #[must_use]
    pub fn read(&self) -> Reading {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Reading {
            won: read(&self.won),
            lost: read(&self.lost),
            failed: read(&self.failed),
            capped: read(&self.capped),
        }
    }
}

#[cfg(test)]
mod tests {
    use testkit::SeededRng;

    use super::*;
    use crate::chance::below;

    #[test]
    fn hedges_never_exceed_their_share_for_any_seed() {
        for seed in 0..2_000 {
            let rng = SeededRng::new(seed);
            let percent = 1 + u32::try_from(below(&rng, 10)).unwrap();
            let hedges = Hedges::new(Config { percent, ..Config::default() });
            let (mut requests, mut made) = (0_u64, 0_u64);
            for _ in 0..below(&rng, 2_000) {
                hedges.deposit();
                requests += 1;
                for _ in 0..below(&rng, 3) {
                    made += u64::from(hedges.withdraw());
                }
                assert!(made * 100 <= requests * u64::from(percent), "seed {seed}: {made} of {requests}");
            }
        }
    }

    #[test]
    fn a_long_calm_saves_up_ten() {
        let hedges = Hedges::new(Config::default());
        for _ in 0..1_000_000 {
            hedges.deposit();
        }
        assert_eq!((0..100).filter(|_| hedges.withdraw()).count(), 10);
        hedges.give_back();
        assert!(hedges.withdraw());
    }

    #[test]
    fn impossible_settings_are_named() {
        for percent in [0, 11] {
            let config = Config { percent, ..Config::default() };
            assert_eq!(config.validate().unwrap_err().setting, "hedge.percent");
        }
        Config::default().validate().unwrap();
    }
}
