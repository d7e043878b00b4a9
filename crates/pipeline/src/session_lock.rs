//! One turn at a time in each session; different sessions never wait for each other.

use std::collections::HashMap;
use std::sync::Arc;

use domain::id::{SessionId, TenantId};
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

/// A session of a tenant: whoever guesses another tenant's does not hold it up.
type Of = (TenantId, SessionId);
type Waiters = Mutex<HashMap<Of, Arc<tokio::sync::Mutex<()>>>>;

/// The sessions in which a turn runs.
#[derive(Debug, Default, Clone)]
pub(crate) struct SessionLocks(Arc<Waiters>);

/// Holds a session; dropping it lets the next turn in.
#[derive(Debug)]
pub(crate) struct SessionGuard {
    locks: SessionLocks,
    id: Of,
    held: Option<OwnedMutexGuard<()>>,
}

impl SessionLocks {
    /// Waits for the session's turn. Cancel-safe.
    pub(crate) async fn lock(&self, id: Of) -> SessionGuard {
        let lock = Arc::clone(self.0.lock().entry(id.clone()).or_default());
        // Made before waiting, so that a caller that stops waiting cleans up after itself too.
        let mut guard = SessionGuard { locks: self.clone(), id, held: None };
        guard.held = Some(lock.lock_owned().await);
        guard
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.held = None;
        let mut locks = self.locks.0.lock();
        // One reference is the map's own: nobody else holds or awaits it.
        if locks.get(&self.id).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            locks.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn turns_of_one_session_run_one_after_the_other() {
        let locks = SessionLocks::default();
        let inside = Arc::new(AtomicU32::new(0));
        let turns = (0..20).map(|_| {
            let (locks, inside) = (locks.clone(), Arc::clone(&inside));
            async move {
                let _guard = locks.lock((TenantId::default(), SessionId::from("one"))).await;
                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                tokio::time::sleep(Duration::from_millis(1)).await;
                inside.fetch_sub(1, Ordering::SeqCst);
            }
        });
        futures_util::future::join_all(turns).await;
        assert!(locks.0.lock().is_empty(), "nothing is left behind");
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_that_gives_up_leaves_nothing_behind() {
        let locks = SessionLocks::default();
        let id = (TenantId::default(), SessionId::from("one"));
        let guard = locks.lock(id.clone()).await;
        assert!(tokio::time::timeout(Duration::from_millis(1), locks.lock(id.clone())).await.is_err());
        let other = (TenantId::from("other"), id.1);
        drop(locks.lock(other).await);
        drop(guard);
        assert!(locks.0.lock().is_empty());
    }
}
