//! By chance and weight, the same for all requests that belong together.
//!
//! Weighted rendezvous hashing (C. Schindelhauer, G. Schomaker, "Weighted Distributed Hash Tables", 2005; in this form
//! J. Resch, "New Hashing Algorithms for Data Storage", 2015): each target draws `-ln(chance) / weight`, where chance
//! is a hash of the target and of what the requests have in common, and the least draw is first. A changed weight moves
//! only draws of its own target, so only requests that come to it or leave it move. Without anything in common the
//! hash is of random bits, and the order is that of drawing targets one after the other by their weights
//! (P. Efraimidis, P. Spirakis, "Weighted random sampling with a reservoir", 2006).

use domain::model::Target;
use domain::ports::Rng;

/// What requests have in common that go the same way, as their session: a hash of it, the same on every replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Affinity(u64);

impl Affinity {
    /// Of a session, a user or a key.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self(hash(0, name))
    }
}

pub(super) fn order<'a>(
    targets: Vec<&'a Target>,
    affinity: Option<Affinity>,
    rng: &dyn Rng,
) -> Vec<&'a Target> {
    let seed = affinity.map_or_else(|| rng.next_u64(), |Affinity(seed)| seed);
    let mut drawn: Vec<(f64, &Target)> =
        targets.into_iter().map(|target| (draw(seed, target), target)).collect();
    drawn.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    drawn.into_iter().map(|(_, target)| target).collect()
}

/// Exponentially distributed, with the weight as its rate.
fn draw(seed: u64, target: &Target) -> f64 {
    -unit(hash(seed, target.id.as_str())).ln() / f64::from(target.weight.max(1))
}

/// Above 0, and at most 1; the upper 53 bits, which a float holds exactly.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
fn unit(bits: u64) -> f64 {
    const STEPS: f64 = (1_u64 << 53) as f64;
    (((bits >> 11) + 1) as f64) / STEPS
}

/// FNV-1a (G. Fowler, L. C. Noll, K.-P. Vo, 1991) with the last step of `SplitMix64` (S. Vigna, 2015), which spreads
/// what differs in the last bytes only over all bits.
fn hash(seed: u64, text: &str) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let fnv = text.bytes().fold(BASIS ^ seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    let mixed = (fnv ^ (fnv >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use testkit::SeededRng;

    use super::*;
    use crate::scripted::remote;

    fn first<'a>(targets: &'a [Target], affinity: Option<Affinity>, rng: &SeededRng) -> &'a str {
        order(targets.iter().collect(), affinity, rng)[0].id.as_str()
    }

    fn session(n: u32) -> Option<Affinity> {
        Some(Affinity::of(&format!("ses_{n:032x}")))
    }

    #[test]
    fn each_is_first_as_often_as_its_weight_says() {
        let targets = [remote("a/light", 1), remote("b/heavy", 3)];
        let rng = SeededRng::new(11);
        for is_sticky in [false, true] {
            let heavy = (0..4_000)
                .filter(|n| first(&targets, session(*n).filter(|_| is_sticky), &rng) == "b/heavy")
                .count();
            // 3,000 expected, standard deviation 27; 5 of them.
            assert!((2_865..=3_135).contains(&heavy), "{heavy} of 4,000, sticky: {is_sticky}");
        }
    }

    #[test]
    fn the_second_is_drawn_by_weight_among_the_rest() {
        let targets = [remote("a/m", 1), remote("b/m", 2), remote("c/m", 6)];
        let rng = SeededRng::new(3);
        let (mut n, mut n_b) = (0, 0);
        for _ in 0..9_000 {
            let ordered = order(targets.iter().collect(), None, &rng);
            if ordered[0].id.as_str() == "c/m" {
                n += 1;
                n_b += u32::from(ordered[1].id.as_str() == "b/m");
            }
        }
        // Two thirds of about 6,000, standard deviation 37; 5 of them.
        let expected = f64::from(n) * 2.0 / 3.0;
        assert!((f64::from(n_b) - expected).abs() < 185.0, "{n_b} of {n}");
    }

    #[test]
    fn a_session_keeps_its_target_and_a_weight_moves_only_the_share_that_must_move() {
        let rng = SeededRng::new(1);
        let before = [remote("a/m", 10), remote("b/m", 10), remote("c/m", 10)];
        let after = [remote("a/m", 10), remote("b/m", 20), remote("c/m", 10)];
        let mut moved = 0;
        for n in 0..6_000 {
            let (was, is) = (first(&before, session(n), &rng), first(&after, session(n), &rng));
            assert_eq!(was, first(&before, session(n), &rng));
            if was != is {
                assert_eq!(is, "b/m", "only to the target with the greater weight");
                moved += 1;
            }
        }
        // From a third to a half: a sixth moves, standard deviation 29; 5 of them.
        assert!((855..=1_145).contains(&moved), "{moved} of 6,000");

        // A target that goes away: only its own sessions move.
        let fewer = [remote("a/m", 10), remote("c/m", 10)];
        for n in 0..1_000 {
            let (was, is) = (first(&before, session(n), &rng), first(&fewer, session(n), &rng));
            assert!(was == is || was == "b/m", "{was} -> {is}");
        }
    }

    #[test]
    fn the_hash_is_the_same_on_every_machine_and_after_every_release() {
        // Sessions would move else.
        let found = Affinity::of("ses_00000000000000000000000000000001");
        assert_eq!(found, Affinity(HASHED), "{found:x?}");
        assert_eq!((unit(0) > 0.0, unit(u64::MAX)), (true, 1.0));
    }

    const HASHED: u64 = 0xa698_db2f_4737_f7b7;

    #[test]
    fn a_weight_of_zero_counts_as_one() {
        let target = remote("a/b", 0);
        assert_eq!(order(vec![&target], None, &SeededRng::new(1))[0].id, target.id);
        assert!(draw(1, &target).is_finite());
    }
}
