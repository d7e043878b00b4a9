//! The store on one SQLite file.
//!
//! Reading order: `connection` (opening, what errors mean), `migrations` (the schema), `writer` (group commit), `place`
//! (whether the file is still there), `readers` (the pool), then the ports: `turns` and `sessions`, `records`, `ledger`, `passages`, `breakers`, `keys`.

mod breakers;
pub(crate) mod connection;
mod keys;
mod ledger;
mod listing;
mod migrations;
mod passages;
mod place;
mod readers;
mod records;
mod sessions;
mod spending;
mod turns;
mod writer;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::ports::StoreError;
use rusqlite::{Connection, Transaction};

use connection::{Failure, OpenError};
use readers::Readers;
use writer::Writer;

/// Settings of a store on SQLite. The defaults keep an idle store small.
#[derive(Debug, Clone)]
pub struct Config {
    /// Connections that read at the same time; opened when first needed; at least 1.
    pub n_readers: usize,
    /// Writes that may wait; the next one is refused with [`StoreError::Busy`].
    pub queue_max: usize,
    /// How long a transaction waits for another process's lock before its writes fail.
    pub busy_timeout: Duration,
    /// Page cache of each connection, in KiB.
    pub cache_kib: u32,
    /// How much of the file is read through a memory map, in KiB; only pages in use count as memory.
    pub mmap_kib: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            n_readers: 2,
            queue_max: 4_096,
            busy_timeout: Duration::from_secs(2),
            cache_kib: 1_024,
            mmap_kib: 64 * 1_024,
        }
    }
}

/// What a store has done since it was opened, and what waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Transactions committed (each one `fsync`).
    pub commits: u64,
    /// Writes committed; divided by `commits` it says how well they are grouped.
    pub writes: u64,
    /// Rows inserted, updated or deleted by them.
    pub rows: u64,
    /// Writes answered with an error.
    pub failed: u64,
    /// Writes waiting now.
    pub queue_depth: usize,
    /// Writes that may wait.
    pub queue_max: usize,
}

/// A store on one SQLite file. It implements the ports `Sessions`, `Records`, `PassageStore`, `BreakerLog`
/// and `Keys`.
///
/// Every write is on disk when it is answered, and a write that was answered with an error left nothing behind.
/// A full disk or a lock makes writes fail with [`StoreError::Unavailable`] for as long as it lasts, a file that was
/// removed or replaced with [`StoreError::Gone`] until the same file is back in its place.
pub struct Store {
    writer: Writer,
    readers: Arc<Readers>,
    queue_max: usize,
}

impl Store {
    /// Opens the database at `path`, making it when there is none (its folder must exist), and brings its schema
    /// up to date. Blocks: call it before serving. Only one process may write to it at a time for long; locking
    /// the folder is the caller's.
    ///
    /// # Errors
    /// [`OpenError`] when the file cannot be used: its source says why.
    pub fn open(path: &Path, config: &Config) -> Result<Arc<Self>, OpenError> {
        let mut connection = connection::open_writer(path, config)?;
        migrations::migrate(&mut connection, path)?;
        let writer = Writer::start(connection, path, config)?;
        Ok(Arc::new(Self { writer, readers: Readers::new(path, config), queue_max: config.queue_max.max(1) }))
    }

    /// Ends the store: what is queued is written, the log is folded into the database, the writer thread is
    /// joined. Later calls get [`StoreError::Closed`]. Calling it twice is harmless.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the writer had stopped before.
    pub async fn close(self: &Arc<Self>) -> Result<(), StoreError> {
        self.readers.close().await;
        let store = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || store.writer.close());
        task.await.unwrap_or_else(|_| Err(StoreError::Unavailable("closing was broken off".to_owned())))
    }

    /// What was done so far and what waits; cheap.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let counters = self.writer.counters();
        Stats {
            commits: counters.commits.load(Ordering::Relaxed),
            writes: counters.writes.load(Ordering::Relaxed),
            rows: counters.rows.load(Ordering::Relaxed),
            failed: counters.failed.load(Ordering::Relaxed),
            queue_depth: counters.queued.load(Ordering::Relaxed),
            queue_max: self.queue_max,
        }
    }

    async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        self.writer.write(work).await
    }

    async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, Failure> + Send + 'static,
    {
        self.readers.read(work).await
    }
}
