//! Idle connections of one origin, newest first: bounded in number and in age.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use domain::time::Moment;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::client::{Config, Shared};
use crate::connection::Connection;
use crate::origin::Parts;

/// What a pool did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Connections opened.
    pub opened: u64,
    /// Requests sent on a kept connection.
    pub reused: u64,
    /// Requests sent again because their kept connection was closed already.
    pub stale: u64,
    /// Connections kept now.
    pub idle: usize,
}

pub(crate) struct Pool {
    idle: Mutex<Idle>,
    /// One permit a call under way.
    pub(crate) calls: Arc<Semaphore>,
    idle_max: usize,
    idle_for: Duration,
    opened: AtomicU64,
    reused: AtomicU64,
    stale: AtomicU64,
}

#[derive(Default)]
struct Idle {
    /// Oldest first.
    connections: Vec<(Connection, Moment)>,
    /// Whether a task waits to close them.
    has_reaper: bool,
}

impl Pool {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            idle: Mutex::default(),
            calls: Arc::new(Semaphore::new(config.calls_max)),
            idle_max: config.idle_max,
            idle_for: config.idle,
            opened: AtomicU64::new(0),
            reused: AtomicU64::new(0),
            stale: AtomicU64::new(0),
        }
    }

    pub(crate) fn stats(&self) -> PoolStats {
        PoolStats {
            opened: self.opened.load(Ordering::Relaxed),
            reused: self.reused.load(Ordering::Relaxed),
            stale: self.stale.load(Ordering::Relaxed),
            idle: self.idle.lock().connections.len(),
        }
    }

    pub(crate) fn count_opened(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_reused(&self) {
        self.reused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_stale(&self) {
        self.stale.fetch_add(1, Ordering::Relaxed);
    }

    /// The newest kept connection that is neither closed nor too old.
    pub(crate) fn take(&self, now: Moment) -> Option<Connection> {
        let mut idle = self.idle.lock();
        while let Some((connection, since)) = idle.connections.pop() {
            if !connection.sender.is_closed() && now.since(since) < self.idle_for {
                return Some(connection);
            }
        }
        None
    }

    /// Closes connections that are closed by the other side or too old; the moment of the next one to look at.
    fn prune(&self, now: Moment) -> Option<Moment> {
        let mut idle = self.idle.lock();
        idle.connections.retain(|(connection, since)| {
            !connection.sender.is_closed() && now.since(*since) < self.idle_for
        });
        let next = idle.connections.first().map(|(_, since)| since.after(self.idle_for));
        idle.has_reaper = next.is_some();
        next
    }
}

/// Keeps `connection`, whose response was read to its end, for the next call.
pub(crate) fn give_back(shared: &Arc<Shared>, parts: &Arc<Parts>, connection: Connection) {
    let pool = &parts.pool;
    let mut idle = pool.idle.lock();
    if connection.sender.is_closed() || shared.stop.is_cancelled() || idle.connections.len() >= pool.idle_max
    {
        return;
    }
    idle.connections.push((connection, shared.clock.now()));
    if std::mem::replace(&mut idle.has_reaper, true) {
        return;
    }
    drop(idle);
    let next = shared.clock.now().after(pool.idle_for);
    shared.tasks.spawn(reap(Arc::downgrade(shared), Arc::downgrade(parts), next));
}

/// Closes kept connections when their time is over; ends when none is kept. Its waiting keeps nothing alive.
async fn reap(shared: Weak<Shared>, parts: Weak<Parts>, mut next: Moment) {
    loop {
        let Some((sleep, stop)) =
            shared.upgrade().map(|shared| (shared.clock.sleep_until(next), shared.stop.clone()))
        else {
            return;
        };
        tokio::select! {
            () = sleep => {}
            () = stop.cancelled() => return,
        }
        let (Some(shared), Some(parts)) = (shared.upgrade(), parts.upgrade()) else { return };
        match parts.pool.prune(shared.clock.now()) {
            Some(later) => next = later,
            None => return,
        }
    }
}
