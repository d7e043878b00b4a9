//! Listing interactions.

use std::sync::Arc;

use domain::interaction::{FinishedTurn, Interaction, InteractionFilter, Outcome};

use super::samples::{at, interaction, interaction_id, session_turn, turn};
use super::{Engine, Ports};

async fn ids(store: &Arc<dyn Ports>, filter: InteractionFilter) -> Vec<String> {
    let found = store.interactions(filter).await.expect("readable");
    found.into_iter().map(|interaction| interaction.id.to_string()).collect()
}

fn expected(numbers: &[u64]) -> Vec<String> {
    numbers.iter().map(|n| interaction_id(*n).to_string()).collect()
}

pub(crate) async fn newest_first_in_stable_pages(engine: &impl Engine) {
    let store = engine.open();
    // Written out of order; 3, 4 and 5 began in the same microsecond, so that ids decide.
    for n in [5, 1, 4, 6, 2, 3] {
        let created = if (3..=5).contains(&n) { at(3) } else { at(n) };
        let interaction = Interaction { created, ..interaction(n) };
        store.record(FinishedTurn { interaction, session: None }).await.expect("written");
    }
    let mut before = None;
    let mut pages = Vec::new();
    for newer in 100.. {
        let filter = InteractionFilter { before: before.clone(), limit: 2, ..Default::default() };
        let page = ids(&store, filter).await;
        let Some(last) = page.last() else { break };
        before = Some(last.as_str().into());
        pages.push(page);
        // What arrives meanwhile does not move the pages that follow.
        store.record(turn(newer)).await.expect("written");
    }
    assert_eq!(pages, [expected(&[6, 5]), expected(&[4, 3]), expected(&[2, 1])]);
    let filter = InteractionFilter { before: Some("int_unknown".into()), limit: 9, ..Default::default() };
    assert_eq!(ids(&store, filter).await, expected(&[]), "nothing is older than what never was");
}

pub(crate) async fn filters_combine(engine: &impl Engine) {
    let store = engine.open();
    for n in 1..=6 {
        let mut turn = session_turn(if n % 2 == 0 { "ses_even" } else { "ses_odd" }, n);
        turn.interaction.outcome = if n <= 3 { Outcome::Declined } else { Outcome::Answered };
        store.record(turn).await.expect("written");
    }
    let all = InteractionFilter { limit: 10, ..Default::default() };
    let even = Some("ses_even".into());
    for (filter, want) in [
        (all.clone(), [6, 5, 4, 3, 2, 1].as_slice()),
        (InteractionFilter { session: even.clone(), ..all.clone() }, &[6, 4, 2]),
        (InteractionFilter { outcome: Some(Outcome::Declined), ..all.clone() }, &[3, 2, 1]),
        (InteractionFilter { outcome: Some(Outcome::Blocked), ..all.clone() }, &[]),
        (InteractionFilter { since: Some(at(5)), ..all.clone() }, &[6, 5]),
        (InteractionFilter { before: Some(interaction_id(3)), ..all.clone() }, &[2, 1]),
        (
            InteractionFilter {
                tenant: None,
                session: even,
                outcome: Some(Outcome::Answered),
                since: Some(at(4)),
                before: Some(interaction_id(6)),
                limit: 10,
            },
            &[4],
        ),
    ] {
        assert_eq!(ids(&store, filter.clone()).await, expected(want), "{filter:?}");
    }
}

pub(crate) async fn limit_is_kept(engine: &impl Engine) {
    let store = engine.open();
    for n in 1..=3 {
        store.record(turn(n)).await.expect("written");
    }
    for (limit, want) in [(0, 0), (2, 2), (usize::MAX, 3)] {
        let filter = InteractionFilter { limit, ..Default::default() };
        assert_eq!(ids(&store, filter).await.len(), want, "{limit}");
    }
}
