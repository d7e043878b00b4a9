//! How many requests were refused, by whose limit and which.

use std::sync::atomic::{AtomicU64, Ordering};

use domain::limit::Level;

use super::meter::Limit;
use super::meters::Why;

const LEVELS: [&str; 3] = ["key", "tenant", "server"];
const REASONS: [&str; 5] = ["requests", "tokens", "parallel", "budget", "unpriced"];

/// Counts, one for each level and reason.
#[derive(Default)]
pub(super) struct Refusals([[AtomicU64; REASONS.len()]; LEVELS.len()]);

impl Refusals {
    pub(super) fn count(&self, level: &Level, why: Why) {
        let level = match level {
            Level::Key(_) => 0,
            Level::Tenant(_) => 1,
            Level::Server => 2,
        };
        let reason = match why {
            Why::Limit(Limit::Requests(_)) => 0,
            Why::Limit(Limit::Tokens(_)) => 1,
            Why::Limit(Limit::Parallel) => 2,
            Why::Limit(Limit::Budget(_)) => 3,
            Why::Unpriced => 4,
        };
        if let Some(count) = self.0.get(level).and_then(|counts: &[AtomicU64; 5]| counts.get(reason)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All that happened.
    pub(super) fn read(&self) -> Vec<((&'static str, &'static str), u64)> {
        let of = |(level, counts): (&'static str, &[AtomicU64; 5])| {
            let read = |(reason, count): (&'static str, &AtomicU64)| {
                ((level, reason), count.load(Ordering::Relaxed))
            };
            REASONS.into_iter().zip(counts).map(read).collect::<Vec<_>>()
        };
        LEVELS.into_iter().zip(&self.0).flat_map(of).filter(|(_, n)| *n > 0).collect()
    }
}
