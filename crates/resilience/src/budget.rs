//! Retry budgets: retries are a fixed share of the requests, so an outage is never multiplied.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::InvalidSetting;

/// Settings of a retry budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Retries allowed for each hundred first attempts.
    pub percent: u32,
    /// Retries that may be saved up. There is no floor: without requests nothing is added.
    pub burst: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { percent: 20, burst: 10 }
    }
}

impl Config {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`InvalidSetting`] naming the setting.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        if self.percent > 100 {
            return Err(InvalidSetting { setting: "budget.percent", problem: "must be at most 100" });
        }
        Ok(())
    }
}

/// A token bucket that first attempts fill and retries empty. It starts full.
#[derive(Debug, Clone)]
pub struct Budget {
    config: Config,
    /// Hundredths of a retry.
    balance: u64,
}

/// A retry costs this many hundredths.
const RETRY: u64 = 100;

impl Budget {
    /// A full bucket.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, balance: u64::from(config.burst) * RETRY }
    }

    /// A first attempt was made.
    pub fn deposit(&mut self) {
        let full = u64::from(self.config.burst) * RETRY;
        self.balance = (self.balance + u64::from(self.config.percent)).min(full);
    }

    /// Takes one retry out; `false` when there is none.
    #[must_use]
    pub fn withdraw(&mut self) -> bool {
        let left = self.balance.checked_sub(RETRY);
        self.balance = left.unwrap_or(self.balance);
        left.is_some()
    }

    /// Whole retries left.
    #[must_use]
    pub fn retries_left(&self) -> u64 {
        self.balance / RETRY
    }
}

/// A budget for each provider; clones share them.
#[derive(Debug, Clone)]
pub struct Budgets {
    config: Config,
    by_provider: Arc<Mutex<BTreeMap<String, Budget>>>,
}

impl Budgets {
    /// No provider yet; each starts full with its first attempt.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, by_provider: Arc::default() }
    }

    /// A first attempt at `provider` is made.
    pub fn deposit(&self, provider: &str) {
        self.with(provider, Budget::deposit);
    }

    /// Takes one retry at `provider` out; `false` when there is none.
    #[must_use]
    pub fn withdraw(&self, provider: &str) -> bool {
        self.with(provider, Budget::withdraw)
    }

    /// Whole retries left, by provider.
    #[must_use]
    pub fn retries_left(&self) -> Vec<(String, u64)> {
        let budgets = self.by_provider.lock();
        budgets.iter().map(|(provider, budget)| (provider.clone(), budget.retries_left())).collect()
    }

    fn with<T>(&self, provider: &str, act: impl FnOnce(&mut Budget) -> T) -> T {
        let mut budgets = self.by_provider.lock();
        if let Some(budget) = budgets.get_mut(provider) {
            return act(budget);
        }
        act(budgets.entry(provider.to_owned()).or_insert_with(|| Budget::new(self.config)))
    }
}

#[cfg(test)]
mod tests {
    use testkit::SeededRng;

    use super::*;
    use crate::chance::below;

    #[test]
    fn a_full_outage_makes_at_most_1210_calls_of_1000() {
        let budgets = Budgets::new(Config::default());
        let calls: u32 = (0..1_000)
            .map(|_| {
                budgets.deposit("openai");
                1 + u32::from(budgets.withdraw("openai"))
            })
            .sum();
        assert!((1_200..=1_210).contains(&calls), "{calls}");
    }

    #[test]
    fn providers_do_not_share_a_budget_and_none_has_a_floor() {
        let budgets = Budgets::new(Config { percent: 20, burst: 1 });
        assert!(budgets.withdraw("a"));
        assert!(!budgets.withdraw("a"));
        assert!(budgets.withdraw("b"));
        for _ in 0..4 {
            budgets.deposit("a");
            assert!(!budgets.withdraw("a"));
        }
        budgets.deposit("a"); // the fifth first attempt buys a retry
        assert!(budgets.withdraw("a"));
        assert_eq!(budgets.retries_left(), [("a".to_owned(), 0), ("b".to_owned(), 0)]);
    }

    #[test]
    fn retries_never_exceed_share_plus_burst_for_any_seed() {
        for seed in 0..5_000 {
            let rng = SeededRng::new(seed);
            let config = Config {
                percent: u32::try_from(below(&rng, 101)).unwrap(),
                burst: u32::try_from(below(&rng, 20)).unwrap(),
            };
            let mut budget = Budget::new(config);
            let (mut first, mut retries) = (0_u64, 0_u64);
            for _ in 0..below(&rng, 400) {
                if below(&rng, 2) == 0 {
                    budget.deposit();
                    first += 1;
                } else {
                    retries += u64::from(budget.withdraw());
                }
                let most = first * u64::from(config.percent) / 100 + u64::from(config.burst);
                assert!(retries <= most, "seed {seed}: {retries} of {most}");
                assert!(budget.retries_left() <= u64::from(config.burst), "seed {seed}");
            }
        }
    }
}
