//! A few connections that only read, used from blocking threads.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::ports::StoreError;
use parking_lot::Mutex;
use rusqlite::{Connection, Transaction};
use tokio::sync::Semaphore;

use super::Config;
use super::connection::{Failure, open_reader, store_error};

/// The pool. Connections are opened when first needed and replaced when lost.
pub(crate) struct Readers {
    path: PathBuf,
    config: Config,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(crate) fn new(path: &Path, config: &Config) -> Arc<Self> {
        Arc::new(Self {
            path: path.to_owned(),
            config: config.clone(),
            idle: Mutex::new(Vec::new()),
            permits: Arc::new(Semaphore::new(config.n_readers.max(1))),
        })
    }

    /// Runs `work` on one state of the database: all its queries see the same commits. Waits for a free
    /// connection.
    pub(crate) async fn read<T, F>(self: &Arc<Self>, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T, Failure> + Send + 'static,
    {
        let permits = Arc::clone(&self.permits);
        let permit = permits.acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let readers = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || {
            let end = readers.run(work);
            // Held until here even if nobody waits any more: the connection is in use.
            drop(permit);
            end
        });
        task.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the read was broken off".to_owned())))
    }

    fn run<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        F: FnOnce(&Transaction<'_>) -> Result<T, Failure>,
    {
        let idle = self.idle.lock().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => open_reader(&self.path, &self.config).map_err(|error| store_error(&error))?,
        };
        let transaction = connection.transaction().map_err(|error| store_error(&error))?;
        let end = work(&transaction);
        drop(transaction);
        self.idle.lock().push(connection);
        Ok(end?)
    }

    /// Ends the pool after the reads under way.
    pub(crate) async fn close(&self) {
        let n_readers = u32::try_from(self.config.n_readers.max(1)).unwrap_or(u32::MAX);
        if let Ok(permits) = self.permits.acquire_many(n_readers).await {
            self.permits.close();
            drop(permits);
        }
        self.idle.lock().clear();
    }
}
