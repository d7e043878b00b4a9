//! Work that failed is tried again until it is done, with growing waits.

use std::time::Duration;

use domain::ports::{Clock, Rng};
use domain::time::Moment;

/// The longest wait between two tries, unless the first one is configured longer.
const WAIT_MAX: Duration = Duration::from_secs(600);

/// The waits between tries: doubled from the first one up to ten minutes, each taken somewhere between its half and its
/// whole, so that many servers do not come back together.
#[derive(Debug)]
pub(crate) struct Waits {
    most: Duration,
}

impl Waits {
    pub(crate) fn from(first: Duration) -> Self {
        Self { most: first }
    }

    fn next(&mut self, rng: &dyn Rng) -> Duration {
        let most_ms = u64::try_from(self.most.as_millis()).unwrap_or(u64::MAX);
        let half_ms = most_ms / 2;
        self.most = self.most.saturating_mul(2).min(WAIT_MAX.max(self.most));
        Duration::from_millis(most_ms - rng.next_u64() % half_ms.saturating_add(1))
    }
}

/// Tries until it is done what has just failed for `reason`, telling before each wait why and when the next try is.
/// Cancel-safe where `attempt` is.
pub(crate) async fn again(
    ports: (&dyn Clock, &dyn Rng),
    mut waits: Waits,
    mut reason: String,
    mut work: impl Work,
) {
    let (clock, rng) = ports;
    loop {
        let next_try = clock.now().after(waits.next(rng));
        work.waits(reason, next_try);
        clock.sleep_until(next_try).await;
        match work.attempt().await {
            Ok(()) => return,
            Err(error) => reason = error,
        }
    }
}

/// What is tried.
pub(crate) trait Work {
    /// One try; the error says why it failed.
    fn attempt(&mut self) -> impl Future<Output = Result<(), String>> + Send;
    /// Told before each wait.
    fn waits(&mut self, reason: String, next_try: Moment);
}

#[cfg(test)]
mod tests {
    use testkit::ConstantRng;

    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn waits_double_from_the_first_to_ten_minutes() {
        let mut waits = Waits::from(Duration::from_secs(30));
        let seconds: Vec<u64> = (0..7).map(|_| waits.next(&ConstantRng(0)).as_secs()).collect();
        assert_eq!(seconds, [30, 60, 120, 240, 480, 600, 600]);
    }

    #[test]
    fn a_wait_lies_between_its_half_and_its_whole() {
        for chance in [0, 1, 14_999, 15_000, 15_001, u64::MAX] {
            let wait = Waits::from(Duration::from_secs(30)).next(&ConstantRng(chance));
            assert!((15_000..=30_000).contains(&wait.as_millis()), "{chance}: {wait:?}");
        }
        assert_eq!(Waits::from(Duration::ZERO).next(&ConstantRng(7)), Duration::ZERO);
    }

    /// Fails as often as it is told to, and keeps what was said.
    struct Failing<'a> {
        times: usize,
        told: &'a mut Vec<(String, u64)>,
    }

    impl Work for Failing<'_> {
        async fn attempt(&mut self) -> Result<(), String> {
            self.times -= 1;
            if self.times == 0 { Ok(()) } else { Err(format!("{} to go", self.times)) }
        }

        fn waits(&mut self, reason: String, next_try: Moment) {
            self.told.push((reason, next_try.0.as_secs()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_failed_is_tried_again_until_it_is_done() {
        let clock = SystemClock::new();
        let mut told = Vec::new();
        let work = Failing { times: 3, told: &mut told };
        again((&clock, &ConstantRng(0)), Waits::from(Duration::from_secs(30)), "no network".to_owned(), work)
            .await;
        let want = [("no network", 30), ("2 to go", 90), ("1 to go", 210)];
        assert_eq!(told, want.map(|(reason, at)| (reason.to_owned(), at)));
        assert_eq!(clock.now().0.as_secs(), 210, "the last try ends it");
    }
}
