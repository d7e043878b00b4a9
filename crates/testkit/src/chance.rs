//! Chance and ids that repeat from run to run.

use std::sync::atomic::{AtomicU64, Ordering};

use domain::ports::{Ids, Rng};

/// Random bits from a seed: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
#[derive(Debug)]
pub struct SeededRng {
    state: AtomicU64,
}

impl SeededRng {
    const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

    /// The sequence of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { state: AtomicU64::new(seed) }
    }
}

impl Rng for SeededRng {
    fn next_u64(&self) -> u64 {
        let state = self.state.fetch_add(Self::STEP, Ordering::Relaxed).wrapping_add(Self::STEP);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

/// The same bits every time.
#[derive(Debug, Clone, Copy)]
pub struct ConstantRng(pub u64);

impl Rng for ConstantRng {
    fn next_u64(&self) -> u64 {
        self.0
    }
}

/// Ids 1, 2, 3, …
#[derive(Debug, Default)]
pub struct CountingIds {
    last: AtomicU64,
}

impl CountingIds {
    /// Starts at 1.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Ids for CountingIds {
    fn next_id(&self) -> u128 {
        u128::from(self.last.fetch_add(1, Ordering::Relaxed)) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_sequence() {
        // The reference values of SplitMix64 for seed 1234567 (prng.di.unimi.it/splitmix64.c).
        let rng = SeededRng::new(1_234_567);
        let found: Vec<u64> = (0..3).map(|_| rng.next_u64()).collect();
        assert_eq!(found, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn ids_count() {
        let ids = CountingIds::new();
        assert_eq!([ids.next_id(), ids.next_id()], [1, 2]);
    }
}
