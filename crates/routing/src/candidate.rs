//! Who is called: one target of a tier, by chance and weight.

use domain::model::Target;
use domain::ports::Rng;
use resilience::chance;

/// Takes one target out of `targets`, each as likely as its weight; `None` when there is none.
pub(crate) fn take<'a>(targets: &mut Vec<&'a Target>, rng: &dyn Rng) -> Option<&'a Target> {
    let weight = |target: &Target| u64::from(target.weight.max(1));
    let mut point = chance::below(rng, targets.iter().map(|target| weight(target)).sum());
    let index = targets.iter().position(|target| {
        let here = point < weight(target);
        point = point.saturating_sub(weight(target));
        here
    })?;
    Some(targets.remove(index))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted::{Seeded, remote};

    #[test]
    fn targets_are_taken_by_weight_each_once() {
        let (light, heavy) = (remote("a/light", 1), remote("b/heavy", 3));
        let rng = Seeded::new(11);
        let mut heavy_first = 0;
        for _ in 0..4_000 {
            let mut targets = vec![&light, &heavy];
            let first = take(&mut targets, &rng).unwrap();
            heavy_first += u32::from(first.id == heavy.id);
            assert_ne!(take(&mut targets, &rng).unwrap().id, first.id);
            assert!(take(&mut targets, &rng).is_none());
        }
        // 3,000 expected, standard deviation 27; 5 of them.
        assert!((2_865..=3_135).contains(&heavy_first), "{heavy_first}");
    }

    #[test]
    fn a_weight_of_zero_counts_as_one() {
        let target = remote("a/b", 0);
        assert_eq!(take(&mut vec![&target], &Seeded::new(1)).unwrap().id, target.id);
    }
}
