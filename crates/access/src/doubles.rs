//! A store of keys in memory, which several gatekeepers may share as processes share a database.

use std::sync::Arc;

use domain::key::{Key, KeySet};
use domain::ports::{BoxFuture, Keys, KeysChanged, StoreError};
use domain::secret::Secret;
use parking_lot::Mutex;
use testkit::{ManualClock, SeededRng};

use crate::gatekeeper::{Gatekeeper, Parts};
use crate::pepper::Pepper;

/// Keys in memory.
#[derive(Default)]
pub(crate) struct MemoryKeys {
    pub(crate) set: Mutex<KeySet>,
    /// So many changes find that another came before.
    pub(crate) outdated: Mutex<u32>,
    pub(crate) is_away: Mutex<bool>,
}

impl MemoryKeys {
    fn check(&self) -> Result<(), StoreError> {
        if *self.is_away.lock() { Err(StoreError::Busy) } else { Ok(()) }
    }
}

impl Keys for MemoryKeys {
    fn keys(&self) -> BoxFuture<'_, Result<KeySet, StoreError>> {
        Box::pin(async move { self.check().map(|()| self.set.lock().clone()) })
    }

    fn keys_head(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async move { self.check().map(|()| self.set.lock().head) })
    }

    fn change_keys(&self, head: u64, changed: Vec<Key>) -> BoxFuture<'_, Result<KeysChanged, StoreError>> {
        Box::pin(async move {
            self.check()?;
            let mut set = self.set.lock();
            let mut outdated = self.outdated.lock();
            if *outdated > 0 {
                *outdated -= 1;
                set.head += 1;
            }
            if set.head != head {
                return Ok(KeysChanged::Outdated);
            }
            for key in changed {
                match set.keys.iter_mut().find(|known| known.id == key.id) {
                    Some(known) => *known = key,
                    None => set.keys.push(key),
                }
            }
            set.head += 1;
            Ok(KeysChanged::To(set.head))
        })
    }
}

/// A process with `store`.
pub(crate) async fn gatekeeper(
    store: &Arc<MemoryKeys>,
    clock: &Arc<ManualClock>,
    bootstrap: Option<&str>,
) -> Gatekeeper {
    let parts = Parts {
        store: Arc::clone(store) as _,
        clock: Arc::clone(clock) as _,
        rng: Arc::new(SeededRng::new(store.set.lock().head + 7)),
        pepper: Pepper::new(&Secret::new("p".repeat(32))).expect("long enough"),
        bootstrap: bootstrap.map(|key| Secret::new(key.to_owned())),
    };
    Gatekeeper::new(parts).await.expect("the store works")
}
