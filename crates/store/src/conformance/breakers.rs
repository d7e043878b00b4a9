//! Breaker states over a restart.

use domain::ports::BreakerEntry;

use super::Engine;
use super::samples::at;

pub(crate) async fn newest_entry_stays(engine: &impl Engine) {
    let store = engine.open();
    assert_eq!(store.load().await.expect("readable"), []);
    let entry = |target: &str, opens, seconds| BreakerEntry {
        target: target.into(),
        failures: 5,
        opens,
        open_until: (opens > 0).then(|| at(seconds + 30)),
        at: at(seconds),
    };
    for (saved, want) in [
        (entry("b/x", 1, 10), vec![entry("b/x", 1, 10)]),
        (entry("a/y", 2, 11), vec![entry("a/y", 2, 11), entry("b/x", 1, 10)]),
        (entry("b/x", 0, 12), vec![entry("a/y", 2, 11), entry("b/x", 0, 12)]),
        (entry("b/x", 7, 9), vec![entry("a/y", 2, 11), entry("b/x", 0, 12)]), // older: came late
        (entry("b/x", 3, 12), vec![entry("a/y", 2, 11), entry("b/x", 3, 12)]), // same time: the last wins
    ] {
        store.save(saved.clone()).await.expect("written");
        assert_eq!(store.load().await.expect("readable"), want, "{saved:?}");
    }
    drop(store);
    assert_eq!(engine.open().load().await.expect("readable"), [entry("a/y", 2, 11), entry("b/x", 3, 12)]);
}
