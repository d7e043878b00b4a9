//! Clocks: one that moves only when told, and one on tokio's time, which a test may pause.

use std::time::Duration;

use domain::ports::{BoxFuture, Clock};
use domain::time::{Moment, Timestamp};
use tokio::sync::watch;

/// Wall time at the origin of both clocks, where none is given: 2026-11-21T09:06:00Z.
pub const EPOCH: Timestamp = Timestamp(1_795_251_960_000_000);

/// A clock that stands still until [`ManualClock::advance`].
#[derive(Debug, Clone)]
pub struct ManualClock {
    now: watch::Sender<Moment>,
    origin: Timestamp,
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::starting_at(EPOCH)
    }
}

impl ManualClock {
    /// A clock at its origin.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A clock at its origin, where the wall time is `origin`.
    #[must_use]
    pub fn starting_at(origin: Timestamp) -> Self {
        Self { now: watch::Sender::new(Moment::default()), origin }
    }

    /// Moves time on by `step` and wakes those whose wait is over.
    pub fn advance(&self, step: Duration) {
        self.now.send_modify(|now| *now = now.after(step));
    }

    /// How many waits are under way.
    #[must_use]
    pub fn n_sleepers(&self) -> usize {
        self.now.receiver_count()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Moment {
        *self.now.borrow()
    }

    fn wall(&self) -> Timestamp {
        self.origin.after(self.now().0)
    }

    fn sleep_until(&self, until: Moment) -> BoxFuture<'static, ()> {
        let mut now = self.now.subscribe();
        Box::pin(async move {
            if now.wait_for(|now| *now >= until).await.is_err() {
                // The clock is gone, so this moment never comes.
                std::future::pending::<()>().await;
            }
        })
    }
}

/// A clock on `tokio::time`: real time, or a test's paused time. Its origin is its creation.
#[derive(Debug, Clone, Copy)]
pub struct TokioClock {
    origin: tokio::time::Instant,
}

impl Default for TokioClock {
    fn default() -> Self {
        Self { origin: tokio::time::Instant::now() }
    }
}

impl TokioClock {
    /// A clock whose origin is now.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Moment {
        Moment(self.origin.elapsed())
    }

    fn wall(&self) -> Timestamp {
        EPOCH.after(self.now().0)
    }

    fn sleep_until(&self, until: Moment) -> BoxFuture<'static, ()> {
        match self.origin.checked_add(until.0) {
            Some(until) => Box::pin(tokio::time::sleep_until(until)),
            None => Box::pin(std::future::pending()),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn manual_time_moves_only_when_told() {
        let clock = ManualClock::new();
        let mut sleep = clock.sleep(Duration::from_secs(2));
        assert!((&mut sleep).now_or_never().is_none());
        clock.advance(Duration::from_secs(1));
        assert!((&mut sleep).now_or_never().is_none());
        assert_eq!(clock.n_sleepers(), 1);
        clock.advance(Duration::from_secs(1));
        assert!((&mut sleep).now_or_never().is_some());
        assert_eq!(clock.wall(), EPOCH.after(Duration::from_secs(2)));
        assert!(clock.sleep_until(Moment::default()).now_or_never().is_some(), "what is past is over");
    }

    #[tokio::test(start_paused = true)]
    async fn tokio_time_can_be_paused() {
        let clock = TokioClock::new();
        clock.sleep(Duration::from_hours(1)).await;
        assert!(clock.now().since(Moment::default()) >= Duration::from_hours(1));
        let never = clock.sleep_until(Moment(Duration::MAX));
        assert!(never.now_or_never().is_none());
    }
}
