//! The calls of the last while, counted in parts of its length.

use std::collections::VecDeque;
use std::time::Duration;

use domain::time::Moment;

/// Parts of a window: calls leave it one part after another, so it covers eleven to twelve twelfths of its length.
pub(super) const PARTS: u32 = 12;

/// Finished calls that say something about their target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub calls: u32,
    /// Those that failed.
    pub failures: u32,
    /// Those slower than the target's own limit, failed or not.
    pub slow: u32,
}

impl Counts {
    fn add(&mut self, more: Self) {
        self.calls = self.calls.saturating_add(more.calls);
        self.failures = self.failures.saturating_add(more.failures);
        self.slow = self.slow.saturating_add(more.slow);
    }
}

/// At most [`PARTS`] counts, each with the place of its part in time.
#[derive(Debug, Clone)]
pub(super) struct Window {
    part: Duration,
    parts: VecDeque<(u128, Counts)>,
}

impl Window {
    pub(super) fn new(length: Duration) -> Self {
        Self { part: (length / PARTS).max(Duration::from_nanos(1)), parts: VecDeque::new() }
    }

    pub(super) fn add(&mut self, now: Moment, more: Counts) {
        let index = self.forget(now);
        match self.parts.back_mut() {
            Some((newest, counts)) if *newest == index => counts.add(more),
            _ => self.parts.push_back((index, more)),
        }
    }

    pub(super) fn counts(&mut self, now: Moment) -> Counts {
        self.forget(now);
        let mut all = Counts::default();
        self.parts.iter().for_each(|(_, counts)| all.add(*counts));
        all
    }

    pub(super) fn clear(&mut self) {
        self.parts.clear();
    }

    /// Drops what is too old; returns the place of the part that `now` lies in.
    fn forget(&mut self, now: Moment) -> u128 {
        let index = now.0.as_nanos() / self.part.as_nanos();
        while self.parts.front().is_some_and(|(oldest, _)| oldest + u128::from(PARTS) <= index) {
            self.parts.pop_front();
        }
        index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_leave_the_window_after_its_length() {
        let mut window = Window::new(Duration::from_secs(60));
        let one = Counts { calls: 1, failures: 1, slow: 0 };
        let at = |seconds| Moment(Duration::from_secs(seconds));
        window.add(at(4), one);
        window.add(at(6), one);
        for (seconds, want) in [(6, 2), (59, 2), (60, 1), (64, 1), (65, 0)] {
            assert_eq!(window.counts(at(seconds)).calls, want, "at {seconds} s");
        }
        for second in 0..1_000 {
            window.add(at(100 + second), one);
            assert!(window.parts.len() <= 12, "bounded");
        }
        assert!((55..=60).contains(&window.counts(at(1_099)).failures));
    }
}
