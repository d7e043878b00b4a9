//! How busy a target is: the peak-sensitive moving average of its waits, times its calls under way.
//!
//! Peak EWMA as Finagle has it (Twitter, `com.twitter.finagle.loadbalancer.PeakEwma`, 2015) and Linkerd and tower
//! took over: a wait above the average becomes the average at once, one below it pulls it down by how long ago the
//! last one was, and an average that nobody adds to fades, so that a target which was slow is tried again.

use std::time::Duration;

use domain::time::Moment;

/// In this time an average that nobody adds to falls to 37 %. Finagle's 10 s are for calls of milliseconds; with
/// calls of seconds, so few requests a minute would each find all averages faded alike.
const FADES_IN_S: f64 = 60.0;
/// What is assumed of a target before its first call, as in tower.
const ASSUMED_S: f64 = 1.0;
/// A failed call counts as a wait of at least this: a target that fails at once must not look like the fastest.
const FAILED_S: f64 = 5.0;

/// The average of one target.
#[derive(Debug, Clone)]
pub(crate) struct PeakEwma {
    average_s: f64,
    at: Moment,
    /// Nothing was measured yet.
    is_assumed: bool,
}

impl PeakEwma {
    /// Of a target that was not called yet.
    pub(crate) fn new(now: Moment) -> Self {
        Self { average_s: ASSUMED_S, at: now, is_assumed: true }
    }

    /// An answer came after `wait`.
    pub(crate) fn note(&mut self, wait: Duration, now: Moment) {
        let (wait_s, kept) = (wait.as_secs_f64(), self.kept(now));
        let faded = self.average_s * kept;
        let is_peak = wait_s > faded || self.is_assumed;
        self.average_s = if is_peak { wait_s } else { faded + wait_s * (1.0 - kept) };
        self.at = now;
        self.is_assumed = false;
    }

    /// No answer came within `wait`: it says that answers take at least so long, and nothing where they do anyway.
    pub(crate) fn note_at_least(&mut self, wait: Duration, now: Moment) {
        if wait.as_secs_f64() > self.average_s * self.kept(now) {
            self.note(wait, now);
        }
    }

    /// A call failed after `wait`.
    pub(crate) fn note_failure(&mut self, wait: Duration, now: Moment) {
        self.note(wait.max(Duration::from_secs_f64(FAILED_S)), now);
    }

    /// What one more call would have to wait, about, in seconds.
    pub(crate) fn load(&self, calls: u32, now: Moment) -> f64 {
        self.average_s * self.kept(now) * (f64::from(calls) + 1.0)
    }

    /// How much of the average is left.
    fn kept(&self, now: Moment) -> f64 {
        (-now.since(self.at).as_secs_f64() / FADES_IN_S).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment(Duration::from_secs(seconds))
    }

    fn near(found: f64, want: f64) {
        assert!((found - want).abs() < want * 1e-6 + 1e-12, "{found}, not {want}");
    }

    #[test]
    fn a_peak_counts_at_once_and_fades() {
        let mut ewma = PeakEwma::new(at(0));
        near(ewma.load(0, at(0)), 1.0);
        ewma.note(Duration::from_millis(300), at(0));
        near(ewma.load(0, at(0)), 0.3);
        ewma.note(Duration::from_secs(4), at(0));
        near(ewma.load(0, at(0)), 4.0);
        near(ewma.load(2, at(0)), 12.0);
        // After a minute with nothing, 37 % are left; a short wait then takes its share of the rest.
        let left = (-1.0_f64).exp();
        near(ewma.load(0, at(60)), 4.0 * left);
        ewma.note(Duration::from_secs(1), at(60));
        near(ewma.load(0, at(60)), 4.0 * left + (1.0 - left));
    }

    #[test]
    fn short_waits_bring_it_down_only_in_time() {
        let mut ewma = PeakEwma::new(at(0));
        ewma.note(Duration::from_secs(4), at(0));
        for _ in 0..1_000 {
            ewma.note(Duration::ZERO, at(0));
        }
        near(ewma.load(0, at(0)), 4.0);
    }

    #[test]
    fn failures_and_calls_given_up_never_make_it_look_fast() {
        let mut failing = PeakEwma::new(at(0));
        failing.note_failure(Duration::from_millis(1), at(0));
        near(failing.load(0, at(0)), 5.0);
        failing.note_failure(Duration::from_secs(9), at(0));
        near(failing.load(0, at(0)), 9.0);

        let mut left = PeakEwma::new(at(0));
        left.note_at_least(Duration::from_millis(10), at(0));
        near(left.load(0, at(0)), 1.0);
        left.note_at_least(Duration::from_secs(3), at(0));
        near(left.load(0, at(0)), 3.0);
    }

    #[test]
    fn the_longest_wait_and_the_longest_time_are_numbers() {
        let mut ewma = PeakEwma::new(at(0));
        ewma.note(Duration::MAX, Moment::MAX);
        assert!(ewma.load(u32::MAX, Moment::MAX).is_finite());
        near(ewma.load(0, at(0)), Duration::MAX.as_secs_f64());
    }
}
