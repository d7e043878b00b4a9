//! Chance and time of tests: both repeat exactly for a seed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::ports::{BoxFuture, Clock, Rng};
use domain::time::{Moment, Timestamp};
use parking_lot::Mutex;

/// Random bits by S. Vigna's `SplitMix64` (public domain, 2015).
pub(crate) struct Seeded(AtomicU64);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// A number below `limit`.
    pub(crate) fn below(&self, limit: u64) -> u64 {
        crate::chance::below(self, limit)
    }
}

impl Rng for Seeded {
    fn next_u64(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let state = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Always the same bits.
pub(crate) struct Constant(pub(crate) u64);

impl Rng for Constant {
    fn next_u64(&self) -> u64 {
        self.0
    }
}

/// A clock that moves only when told to; its wall time starts at `wall_start`.
pub(crate) struct Manual {
    now: Mutex<Moment>,
    wall_start: Timestamp,
}

impl Manual {
    pub(crate) fn new(wall_start: Timestamp) -> Self {
        Self { now: Mutex::new(Moment::default()), wall_start }
    }

    pub(crate) fn advance(&self, by: Duration) {
        let mut now = self.now.lock();
        *now = now.after(by);
    }
}

impl Clock for Manual {
    fn now(&self) -> Moment {
        *self.now.lock()
    }

    fn wall(&self) -> Timestamp {
        self.wall_start.after(self.now().0)
    }

    fn sleep_until(&self, _until: Moment) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}
