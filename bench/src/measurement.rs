//! The figures of one measurement, and how they are written down.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::process::Spent;

/// Waits between 1 ns and a minute, to three digits.
#[derive(Debug, Clone)]
pub struct Waits(Histogram<u64>);

impl Default for Waits {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("these bounds are fine"))
    }
}

impl Waits {
    /// Counts one; more than a minute counts as a minute.
    pub fn add(&mut self, wait: Duration) {
        self.0.saturating_record(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Counts all of `others`, too.
    pub fn add_all(&mut self, others: &Self) {
        self.0.add(&others.0).expect("both have the same bounds");
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Microseconds that this share of the waits did not pass.
    #[must_use]
    pub fn quantile_us(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64 / 1_000.0
    }
}

/// One measurement: a line of JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Measurement {
    /// Kind of load: `closed`, `open`, `stream`, …
    pub load: String,
    /// What was measured.
    pub name: String,
    /// Number of the round.
    pub round: u32,
    /// Figures by name; the name ends with the unit.
    pub figures: BTreeMap<String, f64>,
}

impl Measurement {
    /// One without figures.
    #[must_use]
    pub fn new(load: &str, name: &str, round: u32) -> Self {
        Self { load: load.to_owned(), name: name.to_owned(), round, figures: BTreeMap::new() }
    }

    /// Adds a figure.
    pub fn add(&mut self, name: &str, value: f64) {
        self.figures.insert(name.to_owned(), value);
    }

    /// Adds the usual quantiles of `waits` in microseconds, as `<prefix>p50_us`.
    pub fn add_waits(&mut self, prefix: &str, waits: &Waits) {
        for (name, share) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)] {
            self.add(&format!("{prefix}{name}_us"), waits.quantile_us(share));
        }
    }

    /// Adds CPU in microseconds for each of `n` pieces of work, and memory.
    pub fn add_spent(&mut self, spent: Option<Spent>, n: u64) {
        let Some(spent) = spent else { return };
        let each_us = |time: Duration| time.as_secs_f64() * 1e6 / n.max(1) as f64;
        self.add("cpu_us", each_us(spent.user + spent.system));
        self.add("cpu_user_us", each_us(spent.user));
        self.add("cpu_system_us", each_us(spent.system));
        self.add("rss_mb", spent.resident_kib as f64 * 1_024.0 / 1e6);
    }
}
