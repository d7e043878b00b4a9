//! What was spent of budgets: sums over the ledger, and from when on they count.

use domain::interaction::{FinishedTurn, Interaction};
use domain::limit::{Level, Span};
use domain::money::Amount;
use domain::price::Cost;
use domain::principal::Asker;

use super::Engine;
use super::samples::{at, interaction};

fn asker(tenant: &str, key: &str) -> Asker {
    Asker { tenant: tenant.into(), key: key.into() }
}

/// A turn of two calls, of which the second has no price where `amounts` says none.
fn turn(n: u64, asker: Asker, amounts: [Option<i128>; 2]) -> FinishedTurn {
    let mut interaction = Interaction { asker, ..interaction(n) };
    for (attempt, amount) in interaction.attempts.iter_mut().zip(amounts) {
        attempt.cost = amount.map_or(Cost::Unpriced, |amount| Cost::Estimated(Amount(amount)));
    }
    FinishedTurn { interaction, session: None }
}

pub(crate) async fn sums_are_by_asker_and_time(engine: &impl Engine) {
    let store = engine.open();
    for turn in [
        turn(1, asker("acme", "one"), [Some(1_999_999), Some(1)]),
        turn(2, asker("acme", "one"), [Some(5_000_000_000_000_000), None]),
        turn(3, asker("acme", "two"), [None, None]),
        turn(4, asker("blue", "three"), [Some(7), Some(0)]),
        turn(9, asker("acme", "one"), [Some(100), Some(0)]),
    ] {
        store.record(turn).await.expect("written");
    }
    let spent = async |from, until| {
        let mut sums = store.spent(Span { start: at(from), end: at(until) }).await.expect("readable");
        sums.sort_by_key(|(asker, _)| (asker.tenant.clone(), asker.key.clone()));
        sums.into_iter().map(|(asker, amount)| (asker.key.to_string(), amount.0)).collect::<Vec<_>>()
    };
    let one = "one".to_owned();
    assert_eq!(spent(0, 9).await, [(one.clone(), 5_000_000_002_000_000), ("three".to_owned(), 7)]);
    assert_eq!(spent(2, 10).await, [(one, 5_000_000_000_000_100), ("three".to_owned(), 7)]);
    assert_eq!(spent(10, 11).await, []);
}

pub(crate) async fn the_last_reset_counts(engine: &impl Engine) {
    let store = engine.open();
    assert_eq!(store.resets().await.expect("readable"), []);
    for (level, seconds) in [
        (Level::Key("one".into()), 5),
        (Level::Server, 7),
        (Level::Key("one".into()), 6),
        (Level::Key("one".into()), 4), // a clock that went back forgives nothing twice
        (Level::Tenant("one".into()), 1),
    ] {
        store.reset(level, at(seconds)).await.expect("written");
    }
    drop(store);
    let found = engine.open().resets().await.expect("readable");
    let want =
        [(Level::Key("one".into()), at(6)), (Level::Server, at(7)), (Level::Tenant("one".into()), at(1))];
    assert_eq!(found, want);
}
