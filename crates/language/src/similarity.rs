//! How much two sets of words share.

use std::collections::HashSet;

/// Shared members by all members, 0 to 1 (Jaccard); 0 when both are empty.
#[must_use]
pub fn jaccard(left: &[String], right: &[String]) -> f32 {
    let left: HashSet<&String> = left.iter().collect();
    let right: HashSet<&String> = right.iter().collect();
    let shared = left.intersection(&right).count();
    let all = left.len() + right.len() - shared;
    if all == 0 { 0.0 } else { shared as f32 / all as f32 }
}

/// How much of `wanted` is in `present`, 0 to 1; 1 when nothing is wanted.
#[must_use]
pub fn recall(wanted: &[String], present: &[String]) -> f32 {
    let wanted: HashSet<&String> = wanted.iter().collect();
    let present: HashSet<&String> = present.iter().collect();
    if wanted.is_empty() {
        return 1.0;
    }
    wanted.intersection(&present).count() as f32 / wanted.len() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_sets_and_not_of_counts() {
        let set = |words: &str| words.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        for (left, right, want_jaccard, want_recall) in [
            ("a b", "b c", 1.0 / 3.0, 0.5),
            ("a a a b", "a b", 1.0, 1.0),
            ("", "a", 0.0, 1.0),
            ("", "", 0.0, 1.0),
            ("a", "", 0.0, 0.0),
        ] {
            let (left, right) = (set(left), set(right));
            assert!((jaccard(&left, &right) - want_jaccard).abs() < 1e-6, "{left:?} {right:?}");
            assert!((recall(&left, &right) - want_recall).abs() < 1e-6, "{left:?} {right:?}");
        }
    }
}
