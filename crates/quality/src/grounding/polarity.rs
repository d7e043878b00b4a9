//! Whether a passage says the opposite: the sentence nearest to a claim affirms what the claim denies, or
//! the other way round, and none as near says it as the claim does.

use std::collections::BTreeSet;

use super::stem::{Claim, Sign};

/// Share of the claim's stems that a passage's sentence must hold to be about the same thing.
const SAME_MATTER_MIN: f32 = 0.5;

/// What a passage's own other words weigh against it when two are equally near.
const BREVITY_WEIGHT: f32 = 0.1;

/// Whether one of `sentences` says the opposite of `claim`.
pub(super) fn is_contradicted(claim: &Claim, sentences: &[Claim]) -> bool {
    let words = claim.words();
    let near: Vec<(&Claim, f32)> = sentences
        .iter()
        .map(|sentence| (sentence, nearness(&words, &sentence.words())))
        .filter(|(_, nearness)| *nearness > 0.0)
        .collect();
    let denied: Vec<&String> = claim.with(Sign::Negated).chain(claim.with(Sign::Doubtful)).collect();
    let mut affirmed = claim.with(Sign::Affirmed).filter(|word| !denied.contains(word));
    is_opposed(&denied, Sign::Affirmed, Sign::Negated, &near)
        || affirmed.any(|word| is_opposed(&[word], Sign::Negated, Sign::Affirmed, &near))
}

/// Whether the sentence nearest to the claim says one of `words` with the sign `against` and not `like` the
/// claim does. A doubtful sign is like either.
fn is_opposed(words: &[&String], against: Sign, like: Sign, near: &[(&Claim, f32)]) -> bool {
    let nearest = |signs: &[Sign]| {
        let says = |sentence: &Claim| {
            words.iter().filter_map(|word| sentence.sign(word)).any(|sign| signs.contains(&sign))
        };
        near.iter()
            .filter(|(sentence, _)| says(sentence))
            .map(|(_, nearness)| *nearness)
            .fold(0.0_f32, f32::max)
    };
    let opposed = nearest(&[against]);
    opposed >= SAME_MATTER_MIN && opposed > nearest(&[like, Sign::Doubtful])
}

/// How much of the claim a sentence speaks of, and a little for how little else it speaks of.
fn nearness(claim: &BTreeSet<String>, sentence: &BTreeSet<String>) -> f32 {
    let shared = claim.intersection(sentence).count() as f32;
    let all = claim.union(sentence).count().max(1) as f32;
    shared / claim.len().max(1) as f32 + BREVITY_WEIGHT * shared / all
}
