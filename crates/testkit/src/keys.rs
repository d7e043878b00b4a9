//! A store of keys in memory, which several gatekeepers may share as processes share a database.

use domain::id::KeyId;
use domain::key::{Key, KeySet};
use domain::ports::{BoxFuture, Keys, KeysChanged, StoreError};
use parking_lot::Mutex;

/// Keys in memory.
#[derive(Debug, Default)]
pub struct MemoryKeys {
    /// What is kept.
    pub set: Mutex<KeySet>,
    /// So many changes find that another came before.
    pub outdated: Mutex<u32>,
    /// Others have their turn after keys were read.
    pub is_slow: Mutex<bool>,
    /// Nothing can be read or written.
    pub is_away: Mutex<bool>,
}

impl MemoryKeys {
    fn check(&self) -> Result<(), StoreError> {
        if *self.is_away.lock() { Err(StoreError::Busy) } else { Ok(()) }
    }
}

impl Keys for MemoryKeys {
    fn keys(&self) -> BoxFuture<'_, Result<KeySet, StoreError>> {
        Box::pin(async move {
            let read = self.check().map(|()| self.set.lock().clone());
            let is_slow = *self.is_slow.lock();
            if is_slow {
                tokio::task::yield_now().await;
            }
            read
        })
    }

    fn keys_head(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async move { self.check().map(|()| self.set.lock().head) })
    }

    fn change_keys(
        &self,
        head: u64,
        changed: Vec<Key>,
        dropped: Vec<KeyId>,
    ) -> BoxFuture<'_, Result<KeysChanged, StoreError>> {
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
            set.keys.retain(|key| !dropped.contains(&key.id));
            set.head += 1;
            Ok(KeysChanged::To(set.head))
        })
    }
}
