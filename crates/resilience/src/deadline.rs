//! One absolute deadline per request, and the share of it that a tier may use.

use std::time::Duration;

use domain::time::Moment;

/// Kept of every deadline for writing the degraded answer.
pub const DEGRADED_RESERVE: Duration = Duration::from_millis(150);

/// When an answer is no longer wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Moment);

/// What stands below a tier in its ladder. The degraded answer counts as nothing: it takes no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Below {
    /// Another tier that asks a model.
    ModelTier,
    /// No tier that needs time.
    Nothing,
}

impl Deadline {
    /// A deadline at `moment`.
    #[must_use]
    pub fn at(moment: Moment) -> Self {
        Self(moment)
    }

    /// The moment itself.
    #[must_use]
    pub fn moment(self) -> Moment {
        self.0
    }

    /// Time left; zero when it has passed.
    #[must_use]
    pub fn remaining(self, now: Moment) -> Duration {
        self.0.since(now)
    }

    /// Whether no time is left.
    #[must_use]
    pub fn is_over(self, now: Moment) -> bool {
        self.remaining(now).is_zero()
    }

    /// The part of this deadline that a tier starting `now` may use: all but [`DEGRADED_RESERVE`], and half
    /// of that while another model tier stands below it.
    #[must_use]
    pub fn share(self, now: Moment, below: Below) -> Self {
        let usable = self.remaining(now).saturating_sub(DEGRADED_RESERVE);
        match below {
            Below::ModelTier => Self(now.after(usable / 2)),
            Below::Nothing => Self(now.after(usable)),
        }
    }

    /// Whether `wait` ends while there is still time to do something.
    #[must_use]
    pub fn fits(self, now: Moment, wait: Duration) -> bool {
        wait < self.remaining(now)
    }
}

#[cfg(test)]
mod tests {
    use testkit::SeededRng;

    use super::*;
    use crate::chance::below;

    fn moment(millis: u64) -> Moment {
        Moment(Duration::from_millis(millis))
    }

    #[test]
    fn a_tier_leaves_half_to_the_tiers_below_and_the_reserve_to_the_degraded_answer() {
        for (now, below, want) in [
            (0, Below::ModelTier, 29_925),
            (0, Below::Nothing, 59_850),
            (40_000, Below::ModelTier, 49_925), // what earlier tiers used up is gone
            (59_900, Below::Nothing, 59_900),   // inside the reserve there is nothing to share
            (70_000, Below::Nothing, 70_000),
        ] {
            let share = Deadline::at(moment(60_000)).share(moment(now), below);
            assert_eq!(share.moment(), moment(want), "{now} {below:?}");
        }
    }

    #[test]
    fn only_waits_that_leave_time_fit() {
        let deadline = Deadline::at(moment(1_000));
        for (now, wait, want) in [(0, 999, true), (0, 1_000, false), (1_000, 0, false), (2_000, 0, false)] {
            assert_eq!(deadline.fits(moment(now), Duration::from_millis(wait)), want, "{now} + {wait}");
        }
    }

    #[test]
    fn shares_of_a_ladder_never_touch_the_reserve() {
        for seed in 0..5_000 {
            let rng = SeededRng::new(seed);
            let deadline = Deadline::at(moment(below(&rng, 120_000)));
            let mut now = Moment::default();
            let tiers = 1 + below(&rng, 5);
            for tier in 0..tiers {
                let below = if tier + 1 == tiers { Below::Nothing } else { Below::ModelTier };
                let share = deadline.share(now, below);
                // Each tier uses its whole share, the worst case.
                now = now.after(share.remaining(now));
                let kept = deadline.moment().0.min(DEGRADED_RESERVE);
                assert!(deadline.remaining(now) >= kept, "seed {seed}, tier {tier}");
            }
        }
    }
}
