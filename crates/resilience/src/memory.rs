//! The server's own memory budget: how much is in use, and what that means for new requests.
//!
//! Above the first mark only requests that people wait for are taken on, above the second none, so that the kernel
//! never has to choose a process to kill (the marks of Envoy's overload manager: 92 % stops requests).

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crate::InvalidSetting;

/// Settings of the memory budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Bytes that this server may use; 0 means the limit of its control group, else the machine's memory. Pages of
    /// files are not counted: the kernel takes them back when it needs them.
    pub limit_bytes: u64,
    /// Percent of the limit from which only requests of the class `interactive` are taken on.
    pub shed_percent: u32,
    /// Percent of the limit from which every request is refused with 503, before its body is read. Health, metrics
    /// and `/admin` never are.
    pub refuse_percent: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { limit_bytes: 0, shed_percent: 80, refuse_percent: 92 }
    }
}

impl Config {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`InvalidSetting`] naming the setting.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        if !(1..=100).contains(&self.refuse_percent) {
            return Err(InvalidSetting { setting: "memory.refuse_percent", problem: "must be 1 to 100" });
        }
        if self.shed_percent == 0 || self.shed_percent > self.refuse_percent {
            let problem = "must be above zero and not above `refuse_percent`";
            return Err(InvalidSetting { setting: "memory.shed_percent", problem });
        }
        Ok(())
    }
}

/// How much memory is in use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes that cannot be taken back.
    pub used_bytes: u64,
    /// Bytes that may be used; 0 when that is not known.
    pub limit_bytes: u64,
}

impl Usage {
    /// Whole percent of the limit in use; 0 when there is no limit.
    #[must_use]
    pub fn percent(self) -> u32 {
        let hundredfold = u128::from(self.used_bytes) * 100;
        let percent = hundredfold.checked_div(u128::from(self.limit_bytes)).unwrap_or(0);
        u32::try_from(percent).unwrap_or(u32::MAX)
    }
}

/// What the memory in use means for new requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pressure {
    /// All are taken on.
    Calm,
    /// Only what people wait for.
    High,
    /// None.
    Critical,
}

/// The budget. Reading its pressure is one atomic operation.
#[derive(Debug)]
pub struct Budget {
    config: Config,
    pressure: AtomicU8,
    used_bytes: AtomicU64,
    limit_bytes: AtomicU64,
}

impl Budget {
    /// Calm until told otherwise.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            pressure: AtomicU8::new(0),
            used_bytes: AtomicU64::new(0),
            limit_bytes: AtomicU64::new(config.limit_bytes),
        }
    }

    /// The memory in use was measured. Returns what it means now.
    pub fn note(&self, usage: Usage) -> Pressure {
        self.used_bytes.store(usage.used_bytes, Ordering::Relaxed);
        self.limit_bytes.store(usage.limit_bytes, Ordering::Relaxed);
        let percent = usage.percent();
        let steps = u8::from(percent >= self.config.shed_percent);
        self.pressure.store(steps + u8::from(percent >= self.config.refuse_percent), Ordering::Relaxed);
        self.pressure()
    }

    /// What the memory in use means for new requests.
    #[must_use]
    pub fn pressure(&self) -> Pressure {
        match self.pressure.load(Ordering::Relaxed) {
            0 => Pressure::Calm,
            1 => Pressure::High,
            _ => Pressure::Critical,
        }
    }

    /// As measured last.
    #[must_use]
    pub fn usage(&self) -> Usage {
        Usage {
            used_bytes: self.used_bytes.load(Ordering::Relaxed),
            limit_bytes: self.limit_bytes.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_rises_at_80_and_92_percent_and_falls_again() {
        let budget = Budget::new(Config::default());
        assert_eq!(budget.pressure(), Pressure::Calm);
        for (used_bytes, limit_bytes, want) in [
            (799, 1_000, Pressure::Calm),
            (800, 1_000, Pressure::High),
            (919, 1_000, Pressure::High),
            (920, 1_000, Pressure::Critical),
            (5_000, 1_000, Pressure::Critical),
            (100, 1_000, Pressure::Calm),
            (u64::MAX, 0, Pressure::Calm), // no limit is known
            (u64::MAX, u64::MAX, Pressure::Critical),
        ] {
            let usage = Usage { used_bytes, limit_bytes };
            assert_eq!(budget.note(usage), want, "{usage:?}");
            assert_eq!((budget.pressure(), budget.usage()), (want, usage));
        }
    }

    #[test]
    fn impossible_settings_are_named() {
        for (text, setting) in [
            (r#"{"shed_percent": 0}"#, "memory.shed_percent"),
            (r#"{"shed_percent": 93}"#, "memory.shed_percent"),
            (r#"{"refuse_percent": 101}"#, "memory.refuse_percent"),
        ] {
            let config: Config = serde_json::from_str(text).unwrap();
            assert_eq!(config.validate().unwrap_err().setting, setting);
        }
        Config::default().validate().unwrap();
    }
}
