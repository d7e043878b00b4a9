//! How long to wait before trying the same target again.

use std::time::Duration;

use domain::fault::Retry;
use domain::ports::Rng;

use crate::{InvalidSetting, chance, duration_text};

/// Settings of the wait between two attempts at one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The most that is waited before the first retry; doubled for each further one.
    #[serde(with = "duration_text")]
    pub first: Duration,
    /// The most that is ever waited, unless the target itself asks for more.
    #[serde(with = "duration_text")]
    pub max: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { first: Duration::from_millis(200), max: Duration::from_secs(10) }
    }
}

impl Config {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`InvalidSetting`] naming the setting.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        if self.first > self.max {
            return Err(InvalidSetting {
                setting: "backoff.first",
                problem: "must not be above `backoff.max`",
            });
        }
        Ok(())
    }

    /// The wait before retry number `retry_index` (from 0) of a target that failed with `retry`.
    ///
    /// Full jitter (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015): anything from
    /// zero to the doubled limit. Where the target named a wait, the jitter comes on top, so that those who
    /// were told the same do not come back together. `None` when the same target must not be tried again.
    #[must_use]
    pub fn wait(&self, retry_index: u32, retry: Retry, rng: &dyn Rng) -> Option<Duration> {
        let factor = 1_u32.checked_shl(retry_index).unwrap_or(u32::MAX);
        let most = self.first.saturating_mul(factor).min(self.max);
        match retry {
            Retry::Never | Retry::Elsewhere => None,
            Retry::Here => Some(chance::up_to(rng, most)),
            Retry::After(wait) => Some(wait.saturating_add(chance::up_to(rng, most))),
        }
    }
}

#[cfg(test)]
mod tests {
    use testkit::{ConstantRng, SeededRng};

    use super::*;
    use crate::chance::below;

    #[test]
    fn the_limit_doubles_from_200_ms_and_stops_at_the_maximum() {
        let longest = ConstantRng(u64::MAX);
        for (retry_index, want_ms) in
            [(0, 200), (1, 400), (2, 800), (5, 6_400), (6, 10_000), (u32::MAX, 10_000)]
        {
            let wait = Config::default().wait(retry_index, Retry::Here, &longest);
            assert_eq!(wait, Some(Duration::from_millis(want_ms)), "{retry_index}");
        }
        assert_eq!(Config::default().wait(3, Retry::Here, &ConstantRng(0)), Some(Duration::ZERO));
    }

    #[test]
    fn only_here_and_after_wait_for_the_same_target() {
        for retry in [Retry::Never, Retry::Elsewhere] {
            assert_eq!(Config::default().wait(0, retry, &ConstantRng(0)), None, "{retry:?}");
        }
    }

    #[test]
    fn waits_keep_their_bounds_for_every_seed() {
        for seed in 0..10_000 {
            let rng = SeededRng::new(seed);
            let first = Duration::from_micros(below(&rng, 2_000_000));
            let config =
                Config { first, max: first.saturating_mul(u32::try_from(1 + below(&rng, 64)).unwrap()) };
            let retry_index = u32::try_from(below(&rng, 12)).unwrap();
            let limit = first.saturating_mul(1 << retry_index).min(config.max);
            let wait = config.wait(retry_index, Retry::Here, &rng).unwrap();
            assert!(wait <= limit, "seed {seed}: {wait:?} above {limit:?}");

            let named = Duration::from_millis(below(&rng, 60_000));
            let wait = config.wait(retry_index, Retry::After(named), &rng).unwrap();
            assert!(wait >= named && wait <= named + limit, "seed {seed}: {wait:?} for {named:?}");
            config.validate().unwrap();
        }
    }

    #[test]
    fn settings_are_read_strictly() {
        let read = |text| serde_json::from_str::<Config>(text).map_err(|error| error.to_string());
        assert_eq!(read(r#"{"first": "1s"}"#).unwrap().first, Duration::from_secs(1));
        assert!(read(r#"{"frist": "1s"}"#).unwrap_err().contains("frist"));
        let swapped = read(r#"{"first": "1m"}"#).unwrap();
        assert_eq!(
            swapped.validate().unwrap_err().to_string(),
            "`backoff.first` must not be above `backoff.max`"
        );
    }
}
