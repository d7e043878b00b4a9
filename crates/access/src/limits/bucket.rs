//! A token bucket: what may come at once, and how fast more comes. Pure; the clock is passed in.

use std::time::Duration;

use domain::limit::Rate;
use domain::time::Moment;

/// A bucket that fills by its rate. It starts full.
///
/// Its level is kept in units of `1 / per` so that nothing is ever rounded: one of what it holds is as many units as the
/// period has nanoseconds, and each nanosecond adds `count` units.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    rate: Rate,
    /// Units of all that it holds when full.
    full: i128,
    /// Below zero when more was used than was set aside.
    units: i128,
    at: Moment,
}

/// How a bucket is. Read off only when somebody looks: dividing takes longer than all else that a request does here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketReading {
    rate: Rate,
    units: i128,
}

impl BucketReading {
    /// Of a bucket of `rate` that holds `n`.
    #[must_use]
    pub fn holding(rate: Rate, n: u64) -> Self {
        Self { rate, units: units_of(rate, n) }
    }

    /// What it holds when full.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.rate.burst
    }

    /// What it holds now, whole ones.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        u64::try_from((self.units / units_of(self.rate, 1).max(1)).max(0)).unwrap_or(u64::MAX)
    }

    /// Until it is full.
    #[must_use]
    pub fn full_in(&self) -> Duration {
        wait(self.rate, units_of(self.rate, self.rate.burst) - self.units)
    }

    /// Whether it holds less than `other`, about.
    pub(super) fn holds_less_than(&self, other: &Self) -> bool {
        let about = |reading: &Self| reading.units as f64 / reading.rate.per.as_secs_f64();
        about(self) < about(other)
    }
}

impl Bucket {
    pub(super) fn new(rate: Rate, now: Moment) -> Self {
        let full = units_of(rate, rate.burst);
        Self { rate, full, units: full, at: now }
    }

    /// Goes on under another rate: what was used stays used. A smaller bucket is empty at worst, and owes what was owed.
    pub(super) fn set_rate(&mut self, rate: Rate, now: Moment) {
        if rate == self.rate {
            return;
        }
        self.fill(now);
        let (before, full) = (self.units_of(1).max(1), units_of(rate, rate.burst));
        // Divided so that nothing is forgiven: what was used is rounded up.
        let anew = |units: i128| {
            let per = units_of(rate, 1);
            let exact = units.checked_mul(per).map(|product| product.div_euclid(before));
            exact.unwrap_or_else(|| units.div_euclid(before).saturating_mul(per))
        };
        let (used, owed) = (-anew(self.units - self.full), anew(self.units.min(0)));
        (self.rate, self.full, self.units) = (rate, full, (full - used).max(owed));
    }

    fn units_of(&self, n: u64) -> i128 {
        units_of(self.rate, n)
    }

    /// What came until `now` is in it. A clock that stands or goes back adds nothing.
    fn fill(&mut self, now: Moment) {
        let added = product(nanoseconds(now.since(self.at)), self.rate.count);
        self.units = self.units.saturating_add(added).min(self.full);
        self.at = self.at.max(now);
    }

    /// Whether `n` can be taken now; else after how long they can, `None` when it never holds as many.
    pub(super) fn check(&mut self, now: Moment, n: u64) -> Result<(), Option<Duration>> {
        self.fill(now);
        let wanted = self.units_of(n);
        if wanted <= self.units {
            return Ok(());
        }
        Err((wanted <= self.full).then(|| wait(self.rate, wanted - self.units)))
    }

    /// Takes `n` out, whatever is in it.
    pub(super) fn take(&mut self, n: u64) {
        self.units = self.units.saturating_sub(self.units_of(n));
    }

    /// Puts `n` back that were taken and not used.
    pub(super) fn put_back(&mut self, n: u64) {
        // Filling first and capping then would give the same: both only add.
        self.units = self.units.saturating_add(self.units_of(n)).min(self.full);
    }

    pub(super) fn read(&mut self, now: Moment) -> BucketReading {
        self.fill(now);
        self.reading()
    }

    /// How it was when it was filled last.
    pub(super) fn reading(&self) -> BucketReading {
        BucketReading { rate: self.rate, units: self.units }
    }
}

fn units_of(rate: Rate, n: u64) -> i128 {
    product(nanoseconds(rate.per).max(1), n)
}

/// How long `units` take to come, rounded up.
fn wait(rate: Rate, units: i128) -> Duration {
    let count = i128::from(rate.count.max(1));
    let nanoseconds = units.max(0).saturating_add(count - 1) / count;
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}

/// At most 292 years.
fn nanoseconds(span: Duration) -> u64 {
    span.as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(span.subsec_nanos().into())
        .min(i64::MAX as u64)
}

/// One multiplication: it never overflows, as `nanoseconds` has 63 bits.
fn product(nanoseconds: u64, n: u64) -> i128 {
    i128::try_from(u128::from(nanoseconds) * u128::from(n)).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(count: u64, per: Duration, burst: u64) -> Rate {
        Rate { count, per, burst }
    }

    fn take(bucket: &mut Bucket, now: Moment, n: u64) -> Result<(), Option<Duration>> {
        bucket.check(now, n).map(|()| bucket.take(n))
    }

    #[test]
    fn a_full_bucket_gives_its_burst_and_then_one_for_each_fiftieth_of_a_second() {
        let mut now = Moment::default();
        let mut bucket = Bucket::new(rate(50, Duration::from_secs(1), 100), now);
        for _ in 0..100 {
            assert_eq!(take(&mut bucket, now, 1), Ok(()));
        }
        assert_eq!(take(&mut bucket, now, 1), Err(Some(Duration::from_millis(20))));
        now = now.after(Duration::from_micros(19_999));
        assert_eq!(take(&mut bucket, now, 1), Err(Some(Duration::from_micros(1))));
        now = now.after(Duration::from_micros(1));
        assert_eq!(take(&mut bucket, now, 1), Ok(()));
        let reading = bucket.read(now.after(Duration::from_secs(1)));
        let shown = (reading.limit(), reading.remaining(), reading.full_in());
        assert_eq!(shown, (100, 50, Duration::from_secs(1)));
        assert_eq!(bucket.read(now.after(Duration::from_hours(1))).remaining(), 100);
    }

    #[test]
    fn what_never_fits_is_told_apart_from_what_must_wait() {
        let now = Moment::default();
        let mut bucket = Bucket::new(rate(1_000, Duration::from_mins(1), 1_000), now);
        assert_eq!(bucket.check(now, 1_001), Err(None));
        bucket.take(1_000);
        assert_eq!(bucket.check(now, 500), Err(Some(Duration::from_secs(30))));
    }

    #[test]
    fn what_was_used_beyond_what_was_set_aside_is_owed() {
        let now = Moment::default();
        let mut bucket = Bucket::new(rate(60, Duration::from_mins(1), 60), now);
        bucket.take(90);
        assert_eq!(bucket.read(now).remaining(), 0);
        assert_eq!(bucket.check(now, 1), Err(Some(Duration::from_secs(31))));
    }

    #[test]
    fn under_another_rate_what_was_used_stays_used() {
        let (second, minute) = (Duration::from_secs(1), Duration::from_mins(1));
        for (used, (count, per, burst), left) in [
            (100, (100, second, 200), 100),
            (30, (50, second, 50), 20),
            (30, (7, minute, 1_000), 970),
            (0, (1, minute, 5), 5),
            (100, (50, second, 10), 0), // empty, and not below: it would wait longer than under either rate
            (100, (100, minute, 100), 0),
        ] {
            let now = Moment::default();
            let mut bucket = Bucket::new(rate(50, second, 100), now);
            bucket.take(used);
            bucket.set_rate(rate(count, per, burst), now);
            assert_eq!(bucket.read(now).remaining(), left, "{used} {count} {burst}");
            let due = Duration::from_nanos(u64::try_from(per.as_nanos()).expect("short").div_ceil(count));
            let waits = bucket.check(now, left + 1).expect_err("no more");
            assert!(waits.is_none_or(|wait| wait <= due), "{used} {count} {burst}: {waits:?}");
        }
        // What came until then came at the old rate, and what is owed stays owed.
        let mut now = Moment::default();
        let mut bucket = Bucket::new(rate(60, minute, 60), now);
        bucket.take(90);
        now = now.after(Duration::from_secs(10));
        bucket.set_rate(rate(1, second, 1), now);
        assert_eq!(bucket.check(now, 1), Err(Some(Duration::from_secs(21))));
        bucket.set_rate(rate(2, second, 60), now);
        assert_eq!(bucket.read(now).remaining(), 39, "of 60 it had used 1, and it owes 20");
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let now = Moment::default();
        // The largest that settings allow, and ten thousand years.
        let most = 1_000_000_000;
        let mut bucket = Bucket::new(rate(most, Duration::from_hours(24), most), now);
        assert_eq!(take(&mut bucket, now, most), Ok(()));
        bucket.take(u64::MAX);
        bucket.put_back(u64::MAX);
        assert_eq!(bucket.read(now).remaining(), 0);
        assert_eq!(bucket.read(Moment::MAX).remaining(), most);
        bucket.take(u64::MAX);
        bucket.set_rate(rate(1, Duration::from_secs(1), 1), Moment::MAX);
        bucket.set_rate(rate(most, Duration::from_hours(24), most), Moment::MAX);
        assert_eq!(bucket.read(Moment::MAX).remaining(), 0);
    }

    proptest! {
        /// In any stretch no more is given than the burst and what came in it, and a clock that goes back gives nothing.
        #[test]
        fn never_more_than_the_rate(
            count in 1_u64..200, per_ms in 1_u64..5_000, burst in 1_u64..200,
            steps in prop::collection::vec((0_u64..400, 1_u64..4, prop::bool::ANY), 1..300),
        ) {
            let per = Duration::from_millis(per_ms);
            let mut now = Moment(Duration::from_secs(10));
            let (began, mut latest) = (now, now);
            let mut bucket = Bucket::new(rate(count, per, burst), now);
            let mut given = 0_u128;
            for (step_ms, n, is_back) in steps {
                let step = Duration::from_millis(step_ms);
                now = if is_back { Moment(now.0.saturating_sub(step / 4)) } else { now.after(step) };
                latest = latest.max(now);
                match take(&mut bucket, now, n) {
                    Ok(()) => given += u128::from(n),
                    Err(Some(wait)) => {
                        // The wait told is exact: one nanosecond less is too early.
                        let due = latest.after(wait);
                        let early = Moment(due.0.saturating_sub(Duration::from_nanos(1)));
                        prop_assert!(bucket.clone().check(early, n).is_err());
                        prop_assert!(bucket.clone().check(due, n).is_ok());
                    }
                    Err(None) => prop_assert!(n > burst),
                }
                let came = latest.since(began).as_nanos() * u128::from(count) / per.as_nanos();
                prop_assert!(given <= u128::from(burst) + came);
            }
        }
    }
}
