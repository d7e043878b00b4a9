//! Processes that share a store of keys.

use std::sync::Arc;

use domain::secret::Secret;
use testkit::{ManualClock, MemoryKeys, SeededRng};

use crate::gatekeeper::{Gatekeeper, Parts};
use crate::jwt::issuer::Issuer;
use crate::pepper::Pepper;

/// A process with `store`.
pub(crate) async fn gatekeeper(
    store: &Arc<MemoryKeys>,
    clock: &Arc<ManualClock>,
    bootstrap: Option<&str>,
) -> Gatekeeper {
    Gatekeeper::new(parts(store, clock, bootstrap)).await.expect("the store works")
}

/// A process without keys, which takes the tokens of `issuers`.
pub(crate) async fn with_issuers(clock: &Arc<ManualClock>, issuers: Vec<Issuer>) -> Gatekeeper {
    let parts = parts(&Arc::default(), clock, None);
    Gatekeeper::new(Parts { issuers, ..parts }).await.expect("the store works")
}

fn parts(store: &Arc<MemoryKeys>, clock: &Arc<ManualClock>, bootstrap: Option<&str>) -> Parts {
    Parts {
        store: Arc::clone(store) as _,
        clock: Arc::clone(clock) as _,
        rng: Arc::new(SeededRng::new(store.set.lock().head + 7)),
        pepper: Pepper::new(&Secret::new("p".repeat(32))).expect("long enough"),
        issuers: Vec::new(),
        bootstrap: bootstrap.map(|key| Secret::new(key.to_owned())),
    }
}
