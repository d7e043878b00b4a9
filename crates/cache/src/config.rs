//! How much may be kept.

use resilience::InvalidSetting;
use serde::Deserialize;

/// Settings of `[cache]`: how much is kept, in memory, of answers that are given again. What is given again at all, agents,
/// routes and models say themselves.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Bytes of all answers together.
    pub bytes_max: u64,
    /// Answers, 1 to 1,000,000.
    pub entries_max: u64,
    /// Bytes of one answer; a larger one is not kept.
    pub entry_bytes_max: u32,
    /// Questions whose vectors are kept, for agents with `matching = "semantic"`, 1 to 20,000; about 2 KiB each.
    pub questions_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { bytes_max: 64 << 20, entries_max: 10_000, entry_bytes_max: 256 << 10, questions_max: 2_000 }
    }
}

impl Config {
    /// Whether a server can work with it.
    ///
    /// # Errors
    /// The first setting that is wrong.
    pub fn validate(&self) -> Result<(), InvalidSetting> {
        let checks = [
            ("bytes_max", (1 << 20..=1 << 40).contains(&self.bytes_max), "must be 1 MiB to 1 TiB"),
            ("entries_max", (1..=1_000_000).contains(&self.entries_max), "must be 1 to 1,000,000"),
            (
                "entry_bytes_max",
                u64::from(self.entry_bytes_max) <= self.bytes_max,
                "must be bytes_max at most",
            ),
            ("questions_max", (1..=20_000).contains(&self.questions_max), "must be 1 to 20,000"),
        ];
        match checks.into_iter().find(|(_, is_right, _)| !is_right) {
            Some((setting, _, problem)) => Err(InvalidSetting { setting, problem }),
            None => Ok(()),
        }
    }
}
