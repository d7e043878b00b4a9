//! Fair choices from random bits.

use std::time::Duration;

use domain::ports::Rng;

/// A number from 0 to `limit - 1`, each as likely; 0 when `limit` is 0.
///
/// By multiplication (D. Lemire, "Fast random integer generation in an interval", 2019); the bias is below
/// `limit / 2^64`.
#[must_use]
pub fn below(rng: &dyn Rng, limit: u64) -> u64 {
    let scaled = (u128::from(rng.next_u64()) * u128::from(limit)) >> 64;
    u64::try_from(scaled).expect("64 bits times 64 bits, shifted by 64, are 64 bits")
}

/// A duration from zero to `most`, each nanosecond as likely.
#[must_use]
pub fn up_to(rng: &dyn Rng, most: Duration) -> Duration {
    let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(below(rng, nanos.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use testkit::{ConstantRng, SeededRng};

    use super::*;

    #[test]
    fn choices_reach_both_ends_and_never_leave_them() {
        for (bits, limit, want) in
            [(0, 10, 0), (u64::MAX, 10, 9), (u64::MAX, 0, 0), (u64::MAX, u64::MAX, u64::MAX - 1)]
        {
            assert_eq!(below(&ConstantRng(bits), limit), want, "{bits} of {limit}");
        }
        let second = Duration::from_secs(1);
        assert_eq!(up_to(&ConstantRng(u64::MAX), second), second);
        assert_eq!(up_to(&ConstantRng(0), second), Duration::ZERO);
    }

    #[test]
    fn choices_are_fair() {
        let rng = SeededRng::new(7);
        let mut counts = [0_u32; 4];
        for _ in 0..40_000 {
            counts[usize::try_from(below(&rng, 4)).unwrap()] += 1;
        }
        // Standard deviation 87; 5 of them.
        assert!(counts.iter().all(|count| (9_565..=10_435).contains(count)), "{counts:?}");
    }
}
