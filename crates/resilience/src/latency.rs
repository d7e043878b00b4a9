//! How long a target usually takes: a rolling histogram, for its quantiles.

use std::time::Duration;

use domain::time::Moment;

/// Eight buckets for each doubling, from a millisecond to seventeen minutes: a quantile is at most 9 % too long.
const BUCKETS: usize = 160;
const BUCKETS_A_DOUBLING: f64 = 8.0;
const SHORTEST_S: f64 = 0.001;
/// Two parts of this length are counted: what is older than both is forgotten.
const PART: Duration = Duration::from_secs(60);

/// The waits of the last one to two minutes.
#[derive(Debug, Clone)]
pub(crate) struct Rolling {
    now: Part,
    before: Part,
    since: Moment,
}

#[derive(Debug, Clone)]
struct Part {
    counts: [u32; BUCKETS],
    total: u32,
}

impl Part {
    const EMPTY: Self = Self { counts: [0; BUCKETS], total: 0 };
}

impl Default for Rolling {
    fn default() -> Self {
        Self { now: Part::EMPTY, before: Part::EMPTY, since: Moment::default() }
    }
}

impl Rolling {
    /// A wait is over.
    pub(crate) fn note(&mut self, wait: Duration, now: Moment) {
        self.forget(now);
        if let Some(count) = self.now.counts.get_mut(bucket(wait)) {
            *count = count.saturating_add(1);
            self.now.total = self.now.total.saturating_add(1);
        }
    }

    /// So long do `percent` of the waits take at most; `None` when fewer than `least` are known.
    pub(crate) fn quantile(&mut self, percent: u32, least: u32, now: Moment) -> Option<Duration> {
        self.forget(now);
        let total = self.now.total.saturating_add(self.before.total);
        if total < least.max(1) {
            return None;
        }
        let wanted = u64::from(total) * u64::from(percent);
        let mut seen = 0;
        let counts = self.now.counts.iter().zip(&self.before.counts);
        let index = counts.into_iter().position(|(now, before)| {
            seen += u64::from(*now) + u64::from(*before);
            seen * 100 >= wanted
        })?;
        Some(longest(index))
    }

    fn forget(&mut self, now: Moment) {
        let age = now.since(self.since);
        if age < PART {
            return;
        }
        let last = std::mem::replace(&mut self.now, Part::EMPTY);
        self.before = if age < PART * 2 { last } else { Part::EMPTY };
        self.since = now;
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the buckets there are"
)]
fn bucket(wait: Duration) -> usize {
    let doublings = (wait.as_secs_f64() / SHORTEST_S).max(1.0).log2();
    ((doublings * BUCKETS_A_DOUBLING) as usize).min(BUCKETS - 1)
}

/// The longest wait of a bucket.
fn longest(index: usize) -> Duration {
    let doublings = f64::from(u32::try_from(index + 1).unwrap_or(u32::MAX)) / BUCKETS_A_DOUBLING;
    Duration::from_secs_f64(SHORTEST_S * doublings.exp2())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment(Duration::from_secs(seconds))
    }

    #[test]
    fn a_quantile_is_at_most_a_bucket_too_long() {
        let mut rolling = Rolling::default();
        for ms in 1..=1_000 {
            rolling.note(Duration::from_millis(ms), at(0));
        }
        for (percent, exact_ms) in [(50, 500.0), (95, 950.0), (99, 990.0), (100, 1_000.0)] {
            let found_ms = rolling.quantile(percent, 100, at(0)).unwrap().as_secs_f64() * 1e3;
            assert!((exact_ms..=exact_ms * 1.1).contains(&found_ms), "p{percent}: {found_ms} ms");
        }
    }

    #[test]
    fn few_waits_say_nothing_and_old_ones_are_forgotten() {
        let mut rolling = Rolling::default();
        for n in 0..99 {
            rolling.note(Duration::from_millis(n), at(0));
        }
        assert_eq!(rolling.quantile(95, 100, at(0)), None);
        rolling.note(Duration::ZERO, at(70));
        assert!(rolling.quantile(95, 100, at(70)).is_some());
        rolling.note(Duration::ZERO, at(131));
        assert_eq!(rolling.quantile(95, 100, at(131)), None);
        assert_eq!(rolling.quantile(95, 3, at(131)), None);
        assert_eq!(rolling.quantile(95, 1, at(400)), None);
    }

    #[test]
    fn every_wait_has_its_bucket() {
        for wait in [Duration::ZERO, Duration::from_micros(1), Duration::from_secs(2_000), Duration::MAX] {
            let mut rolling = Rolling::default();
            rolling.note(wait, at(0));
            assert!(rolling.quantile(95, 1, at(0)).is_some(), "{wait:?}");
        }
    }
}
