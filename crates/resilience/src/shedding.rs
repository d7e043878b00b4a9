//! Load shedding: each route takes on as many requests as it answers in good time, a few more wait a moment, and the
//! rest are turned away at once, the least urgent first.
//!
//! Reading order: this file (settings, classes, what being turned away is), `limit` (how many at once, from the time
//! that answers take), `lane` (the places and the queue of one route), [`gate`] (all routes, and memory).

use std::time::Duration;

use crate::{InvalidSetting, duration_text};

pub mod gate;
mod lane;
mod limit;

pub use gate::{Arrival, Gate, Reading, RouteReading};
pub use lane::Place;

/// Settings of load shedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Most requests of one route at once that wait for their answer to begin. Each second in which answers take more
    /// than `tolerance_percent` of their usual time, the limit becomes what is under way × usual time × tolerance ÷
    /// time now (at least half of it) + its square root; in other seconds it rises by its square root, where it is
    /// used.
    pub requests_max: u32,
    /// The limit is never lowered below this.
    pub requests_min: u32,
    /// Percent of their usual time that answers may take before the limit is lowered.
    pub tolerance_percent: u32,
    /// Answers that begin sooner than this are never too slow.
    #[serde(with = "duration_text")]
    pub latency_min: Duration,
    /// Most requests of one route that wait for a place. When they are as many, a more urgent one takes the place of
    /// the least urgent that came last.
    pub queue_max: u32,
    /// The longest that one waits for a place.
    #[serde(with = "duration_text")]
    pub queue_wait: Duration,
    /// Percent of a route's places that requests of the class `alert` may take.
    pub alert_percent: u32,
    /// Percent of a route's places that requests of the class `batch` may take.
    pub batch_percent: u32,
    /// The most urgent class that a request may claim with `x-mainstay-priority`; one that claims more, or nothing, is
    /// treated as at most this.
    pub class_max: Class,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            requests_max: 2_048,
            requests_min: 32,
            tolerance_percent: 200,
            latency_min: Duration::from_millis(100),
            queue_max: 256,
            queue_wait: Duration::from_secs(2),
            alert_percent: 90,
            batch_percent: 75,
            class_max: Class::Interactive,
        }
    }
}

impl Config {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`InvalidSetting`] naming the setting.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        if self.requests_min == 0 || self.requests_min > self.requests_max {
            let problem = "must be above zero and not above `requests_max`";
            return Err(InvalidSetting { setting: "shedding.requests_min", problem });
        }
        if !(100..=10_000).contains(&self.tolerance_percent) {
            let problem = "must be 100 to 10000";
            return Err(InvalidSetting { setting: "shedding.tolerance_percent", problem });
        }
        for (setting, percent) in
            [("shedding.alert_percent", self.alert_percent), ("shedding.batch_percent", self.batch_percent)]
        {
            if !(1..=100).contains(&percent) {
                return Err(InvalidSetting { setting, problem: "must be 1 to 100" });
            }
        }
        if self.latency_min.is_zero() {
            return Err(InvalidSetting { setting: "shedding.latency_min", problem: "must be above zero" });
        }
        Ok(())
    }

    /// How many of `limit` places a class may take; at least one.
    fn share(&self, class: Class, limit: u32) -> u32 {
        let percent = match class {
            Class::Interactive => 100,
            Class::Alert => self.alert_percent,
            Class::Batch => self.batch_percent,
        };
        let share = u64::from(limit) * u64::from(percent) / 100;
        u32::try_from(share).unwrap_or(u32::MAX).max(1)
    }
}

/// How urgent a request is; the more urgent, the greater.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, serde::Serialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Nobody waits for it.
    Batch,
    /// Someone is told of its result.
    Alert,
    /// A person waits for it.
    #[default]
    Interactive,
}

impl Class {
    /// All, the most urgent first.
    pub const ALL: [Self; 3] = [Self::Interactive, Self::Alert, Self::Batch];

    /// The stable name used in headers and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Alert => "alert",
            Self::Batch => "batch",
        }
    }

    /// The class of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }

    /// Its place in tables.
    fn index(self) -> usize {
        match self {
            Self::Interactive => 0,
            Self::Alert => 1,
            Self::Batch => 2,
        }
    }
}

/// What a place is taken for. Their usual times differ, so they are learned apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// A whole turn of an agent.
    Turn,
    /// A relayed answer in one piece.
    Whole,
    /// The beginning of a relayed stream.
    Stream,
}

impl Work {
    /// How many there are.
    const COUNT: usize = 3;

    /// Its place in tables.
    fn index(self) -> usize {
        match self {
            Self::Turn => 0,
            Self::Whole => 1,
            Self::Stream => 2,
        }
    }
}

/// A request is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Shed {
    /// Why.
    pub reason: Reason,
    /// When asking again may help.
    pub retry_after: Duration,
}

/// Why a request is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The memory is wanted for what is under way.
    #[error("the server is short of memory")]
    Memory,
    /// As many as may wait are waiting.
    #[error("too many requests are waiting already")]
    QueueFull,
    /// No place came free in time.
    #[error("too many requests are under way, and none ended in time")]
    QueueTime,
}

impl Reason {
    /// All, for labels.
    pub const ALL: [Self; 3] = [Self::Memory, Self::QueueFull, Self::QueueTime];

    /// The stable name used in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::QueueFull => "queue_full",
            Self::QueueTime => "queue_time",
        }
    }

    /// Its place in tables.
    fn index(self) -> usize {
        match self {
            Self::Memory => 0,
            Self::QueueFull => 1,
            Self::QueueTime => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_have_their_order_and_names() {
        assert!(Class::Interactive > Class::Alert && Class::Alert > Class::Batch);
        assert_eq!(Class::default(), Class::Interactive);
        for class in Class::ALL {
            assert_eq!(Class::parse(class.name()), Some(class));
        }
        assert_eq!(Class::parse("urgent"), None);
    }

    #[test]
    fn a_class_may_take_its_share_of_the_places_and_at_least_one() {
        let config = Config::default();
        for (limit, want) in [(100, [100, 90, 75]), (32, [32, 28, 24]), (1, [1, 1, 1])] {
            assert_eq!(Class::ALL.map(|class| config.share(class, limit)), want);
        }
    }

    #[test]
    fn impossible_settings_are_named() {
        for (text, setting) in [
            (r#"{"requests_min": 0}"#, "shedding.requests_min"),
            (r#"{"requests_max": 3}"#, "shedding.requests_min"),
            (r#"{"tolerance_percent": 99}"#, "shedding.tolerance_percent"),
            (r#"{"batch_percent": 0}"#, "shedding.batch_percent"),
            (r#"{"latency_min": "0s"}"#, "shedding.latency_min"),
        ] {
            let config: Config = serde_json::from_str(text).unwrap();
            assert_eq!(config.validate().unwrap_err().setting, setting);
        }
        Config::default().validate().unwrap();
        assert!(serde_json::from_str::<Config>(r#"{"class_max": "urgent"}"#).is_err());
    }
}
