//! The real clock, chance and ids: the one place that reads them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use domain::ports::{BoxFuture, Clock, Ids, Rng};
use domain::time::{Moment, Timestamp};

/// The machine's clocks. The monotonic one is tokio's, so that tests with paused time have one clock.
#[derive(Debug)]
pub(crate) struct SystemClock {
    origin: tokio::time::Instant,
}

impl SystemClock {
    pub(crate) fn new() -> Self {
        Self { origin: tokio::time::Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        Moment(self.origin.elapsed())
    }

    #[expect(clippy::disallowed_methods, reason = "this is the Clock")]
    fn wall(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Timestamp(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
    }

    fn sleep_until(&self, until: Moment) -> BoxFuture<'static, ()> {
        // A moment past the end of the timer's range is as good as never.
        match self.origin.checked_add(until.0) {
            Some(instant) => Box::pin(tokio::time::sleep_until(instant)),
            None => Box::pin(std::future::pending()),
        }
    }
}

/// The operating system's chance.
#[derive(Debug)]
pub(crate) struct SystemRng;

impl Rng for SystemRng {
    fn next_u64(&self) -> u64 {
        rand::random()
    }
}

/// Ids as UUID version 7 (RFC 9562): 48 bits of milliseconds, then chance; never going back in one process.
#[derive(Debug, Default)]
pub(crate) struct SystemIds {
    last_ms: AtomicU64,
}

impl Ids for SystemIds {
    #[expect(clippy::disallowed_methods, reason = "ids carry the wall clock's milliseconds")]
    fn next_id(&self) -> u128 {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let now_ms = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
        let ms = self.last_ms.fetch_max(now_ms, Ordering::Relaxed).max(now_ms);
        let chance: u128 = rand::random();
        let time = u128::from(ms & 0xffff_ffff_ffff) << 80;
        let version = 0x7_u128 << 76;
        let variant = 0b10_u128 << 62;
        let chance_high = (chance >> 64 & 0xfff) << 64;
        let chance_low = chance & ((1 << 62) - 1);
        time | version | chance_high | variant | chance_low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuid_version_7_and_differ() {
        let ids = SystemIds::default();
        let (one, other) = (ids.next_id(), ids.next_id());
        assert_ne!(one, other);
        for id in [one, other] {
            assert_eq!(id >> 76 & 0xf, 7, "version");
            assert_eq!(id >> 62 & 0b11, 0b10, "variant");
        }
        assert!(one >> 80 <= other >> 80, "later ids do not sort before earlier ones");
    }
}
