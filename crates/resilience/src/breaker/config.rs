//! Settings of a breaker.

use std::time::Duration;

use domain::ports::Rng;

use crate::{InvalidSetting, chance, duration_text};

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
    pub(super) fn open_time(&self, opens: u32, rng: &dyn Rng) -> Duration {
        let doublings = opens.saturating_sub(1);
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        let time = self.open.saturating_mul(factor).min(self.open_max);
        // The first time is exact.
        if doublings == 0 { time } else { time.saturating_add(chance::up_to(rng, time / JITTER_PART)) }
    }

    /// The longest that any open time can be.
    pub(super) fn open_limit(&self) -> Duration {
        self.open_max.saturating_add(self.open_max / JITTER_PART)
    }
}
