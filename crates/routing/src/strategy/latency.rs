//! Whose answers come soonest: peak EWMA times the calls under way, of two taken by chance where there are more.
//!
//! Two choices are nearly as good as all, and not everyone runs to the same one (M. Mitzenmacher, "The Power of Two
//! Choices in Randomized Load Balancing", 2001; Finagle's and Linkerd's balancers do so).

use domain::model::Target;
use resilience::chance;

use super::Facts;

pub(super) fn order<'a>(targets: Vec<&'a Target>, facts: &Facts<'_>) -> Vec<&'a Target> {
    let load = |target: &'a Target| (facts.breakers.load(&target.id, facts.awaits), target);
    let mut loads: Vec<(f64, &Target)> = targets.into_iter().map(load).collect();
    let chosen = (loads.len() > 2).then(|| better_of_two(&loads, facts)).flatten();
    // Equals keep the order in which they are written.
    loads.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    let mut ordered: Vec<&Target> = loads.into_iter().map(|(_, target)| target).collect();
    if let Some(chosen) = chosen {
        ordered.retain(|target| target.id != chosen.id);
        ordered.insert(0, chosen);
    }
    ordered
}

fn better_of_two<'a>(loads: &[(f64, &'a Target)], facts: &Facts<'_>) -> Option<&'a Target> {
    let n = u64::try_from(loads.len()).ok()?;
    let one = chance::below(facts.rng, n);
    // Any but the first: as far behind it as chance says, round the end.
    let other = (one + 1 + chance::below(facts.rng, n - 1)) % n;
    let at = |index: u64| loads.get(usize::try_from(index).ok()?);
    let (one, other) = (at(one)?, at(other)?);
    Some(if other.0 < one.0 { other.1 } else { one.1 })
}
