//! The cost ledger: the calls of turns, read in their order.

use std::sync::Arc;

use domain::interaction::{Attempt, FinishedTurn, Interaction};
use domain::ledger::{Entry, Page, Place, Sums};
use domain::money::{Amount, Nanos};
use domain::price::{Cost, Rates};
use domain::principal::Asker;
use domain::token::{TokenCount, Usage};

use super::samples::{at, interaction, turn};
use super::{Engine, Ports};

async fn entries(store: &Arc<dyn Ports>, page: Page) -> Vec<Entry> {
    store.entries(page).await.expect("readable")
}

fn all() -> Page {
    Page { limit: 1_000, ..Page::default() }
}

fn numbers(entries: &[Entry]) -> Vec<(i64, u32)> {
    entries.iter().map(|entry| ((entry.at.0 - at(0).0) / 1_000_000, entry.attempt.n)).collect()
}

pub(crate) async fn holds_every_call_of_every_turn(engine: &impl Engine) {
    let store = engine.open();
    let silent =
        FinishedTurn { interaction: Interaction { attempts: Vec::new(), ..interaction(2) }, session: None };
    for turn in [turn(3), silent, turn(1), turn(3)] {
        store.record(turn).await.expect("written");
    }
    let read = entries(&store, all()).await;
    assert_eq!(numbers(&read), [(1, 1), (1, 2), (3, 1), (3, 2)], "oldest first, none twice");
    let first = interaction(1);
    for (entry, attempt) in read.iter().zip(&first.attempts) {
        let want = Entry {
            at: first.created,
            interaction: first.id.clone(),
            asker: first.asker.clone(),
            agent: first.agent.name.clone(),
            attempt: attempt.clone(),
        };
        assert_eq!(*entry, want);
    }
}

pub(crate) async fn pages_go_on_where_they_ended(engine: &impl Engine) {
    let store = engine.open();
    for n in 0..5 {
        store.record(turn(n)).await.expect("written");
    }
    let whole = entries(&store, all()).await;
    let mut pages = Vec::new();
    let mut after = None;
    loop {
        let page = entries(&store, Page { after, limit: 3, ..all() }).await;
        let Some(last) = page.last() else { break };
        after = Some(Place::from(last));
        pages.extend(page);
    }
    assert_eq!(pages, whole);
    let some = entries(&store, Page { from: Some(at(1)), until: Some(at(3)), ..all() }).await;
    assert_eq!(numbers(&some), [(1, 1), (1, 2), (2, 1), (2, 2)]);
}

pub(crate) async fn a_tenant_sees_its_own(engine: &impl Engine) {
    let store = engine.open();
    for (n, tenant) in [(1, "one"), (2, "other"), (3, "one")] {
        let asker = Asker { tenant: tenant.into(), ..Asker::default() };
        let interaction = Interaction { asker, ..interaction(n) };
        store.record(FinishedTurn { interaction, session: None }).await.expect("written");
    }
    let own = entries(&store, Page { tenant: Some("one".into()), ..all() }).await;
    assert_eq!(numbers(&own), [(1, 1), (1, 2), (3, 1), (3, 2)]);
}

/// Amounts that no float and no rounding would keep.
pub(crate) async fn sums_are_those_of_the_turns(engine: &impl Engine) {
    let store = engine.open();
    let rates = Rates::flat(Nanos(75_000_001), Nanos(299_999_999));
    let mut want = Amount::ZERO;
    for n in 0..40 {
        let attempts: Vec<Attempt> = (interaction(n).attempts.into_iter())
            .map(|attempt| {
                let seed = u32::try_from(n).expect("few").wrapping_mul(2_654_435_761).wrapping_add(attempt.n);
                let usage = Usage::of(TokenCount(seed % 1_000_003), TokenCount(seed % 4_099));
                let amount = rates.of(usage);
                let cost = if attempt.estimate.is_some() { Cost::Estimated } else { Cost::Exact };
                Attempt {
                    usage: attempt.usage.map(|_| usage),
                    estimate: attempt.estimate.map(|_| usage),
                    cost: cost(amount),
                    ..attempt
                }
            })
            .collect();
        let cost: Cost = attempts.iter().map(|attempt| attempt.cost).sum();
        want = want.plus(cost.amount().expect("priced"));
        let interaction = Interaction { attempts, cost, ..interaction(n) };
        store.record(FinishedTurn { interaction, session: None }).await.expect("written");
    }
    let mut sums = Sums::default();
    entries(&store, all()).await.iter().for_each(|entry| sums.add(entry));
    assert_eq!((sums.calls, sums.amount()), (80, want));
    assert!(sums.exact > Amount::ZERO && sums.estimated > Amount::ZERO);
}
