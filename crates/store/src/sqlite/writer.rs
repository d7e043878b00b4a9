//! The one thread that writes: whatever is queued becomes one transaction, each of several jobs in its own savepoint.
//!
//! An `fsync` costs milliseconds and a row costs microseconds, so all that wait at the same time share one
//! (64 waiting clients: 5,700 durable writes a second instead of 178). Nobody is answered before the commit.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use domain::ports::StoreError;
use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::Config;
use super::connection::{Failure, OpenError, store_error};
use super::place::Place;

/// At most this many jobs share a transaction.
const BATCH_MAX: usize = 256;

/// After this long without work the write-ahead log is folded into the database.
const IDLE: Duration = Duration::from_secs(2);

/// Once a transaction failed, the next ones wait for another process's lock at most this long: nobody should wait for
/// what will not come, again and again.
const BUSY_AGAIN: Duration = Duration::from_millis(100);

/// What the writer has done; read at any time.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) commits: AtomicU64,
    pub(crate) writes: AtomicU64,
    pub(crate) rows: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) queued: AtomicUsize,
}

/// One write: run once inside a transaction, answered once after it ended.
trait Job: Send {
    fn run(&mut self, connection: &Connection) -> Result<(), StoreError>;
    fn answer(self: Box<Self>, end: Result<(), StoreError>);
}

struct Write<T, F> {
    work: Option<F>,
    done: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Write<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, Failure> + Send,
{
    fn run(&mut self, connection: &Connection) -> Result<(), StoreError> {
        if let Some(work) = self.work.take() {
            self.done = Some(work(connection)?);
        }
        Ok(())
    }

    fn answer(self: Box<Self>, end: Result<(), StoreError>) {
        let Self { done, reply, .. } = *self;
        // Nobody waiting any more is no reason to undo what was asked for.
        let _ = reply.send(end.and_then(|()| done.ok_or(StoreError::Closed)));
    }
}

/// The door to the writer thread.
pub(crate) struct Writer {
    queue: Mutex<Option<SyncSender<Box<dyn Job>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    counters: Arc<Counters>,
}

impl Writer {
    /// Starts the thread, which owns `connection` from now on.
    pub(crate) fn start(connection: Connection, path: &Path, config: &Config) -> Result<Self, OpenError> {
        let (sender, receiver) = sync_channel(config.queue_max.max(1));
        let counters = Arc::new(Counters::default());
        let busy_timeout = config.busy_timeout;
        let place = Place::of(path).map_err(|source| OpenError::File { path: path.to_owned(), source })?;
        let thread = Thread {
            connection,
            place,
            receiver,
            counters: Arc::clone(&counters),
            busy_timeout,
            log: Log::Folded,
            health: Health::Working,
        };
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || thread.run())
            .map_err(|source| OpenError::Thread { path: path.to_owned(), source })?;
        Ok(Self { queue: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)), counters })
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Runs `work` in a transaction; what it returns is on disk when this returns it. When the waiter is dropped
    /// after its first poll, the write happens all the same.
    pub(crate) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.submit(Box::new(Write { work: Some(work), done: None, reply }))?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    fn submit(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        let queue = self.queue.lock();
        let sender = queue.as_ref().ok_or(StoreError::Closed)?;
        self.counters.queued.fetch_add(1, Ordering::Relaxed);
        sender.try_send(job).map_err(|error| {
            self.counters.queued.fetch_sub(1, Ordering::Relaxed);
            match error {
                TrySendError::Full(_) => StoreError::Busy,
                TrySendError::Disconnected(_) => StoreError::Closed,
            }
        })
    }

    /// Takes no more jobs, ends those taken, folds the log and ends the thread. Blocks meanwhile.
    pub(crate) fn close(&self) -> Result<(), StoreError> {
        drop(self.queue.lock().take());
        let Some(thread) = self.thread.lock().take() else { return Ok(()) };
        thread.join().map_err(|_| StoreError::Unavailable("its writer had stopped".to_owned()))
    }
}

/// Whether the write-ahead log holds anything the database does not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Log {
    Folded,
    Grown,
}

/// How the last transaction ended, so that a change is logged and not each failure.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Health {
    Working,
    Failing,
}

fn add(counter: &AtomicU64, n: usize) {
    counter.fetch_add(u64::try_from(n).unwrap_or(u64::MAX), Ordering::Relaxed);
}

struct Thread {
    connection: Connection,
    place: Place,
    receiver: Receiver<Box<dyn Job>>,
    counters: Arc<Counters>,
    busy_timeout: Duration,
    log: Log,
    health: Health,
}

impl Thread {
    fn run(mut self) {
        loop {
            let next = match self.log {
                Log::Grown => self.receiver.recv_timeout(IDLE),
                Log::Folded => self.receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match next {
                Ok(job) => {
                    let jobs = self.gather(job);
                    self.write(jobs);
                }
                Err(RecvTimeoutError::Timeout) => self.fold(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.fold();
    }

    fn gather(&self, first: Box<dyn Job>) -> Vec<Box<dyn Job>> {
        let mut jobs = vec![first];
        while jobs.len() < BATCH_MAX
            && let Ok(job) = self.receiver.try_recv()
        {
            jobs.push(job);
        }
        self.counters.queued.fetch_sub(jobs.len(), Ordering::Relaxed);
        jobs
    }

    /// Writes `jobs` as one transaction, then answers all of them.
    fn write(&mut self, mut jobs: Vec<Box<dyn Job>>) {
        let ends = self.transact(&mut jobs);
        match &ends {
            Ok(_) if self.health == Health::Failing => {
                self.health = Health::Working;
                self.set_patience(self.patience());
                tracing::info!("the store writes again");
            }
            Err(error) if self.health == Health::Working => {
                self.health = Health::Failing;
                self.set_patience(self.patience());
                tracing::error!(%error, n_jobs = jobs.len(), "the store cannot write");
            }
            _ => {}
        }
        match ends {
            Ok(ends) => {
                for (job, end) in jobs.into_iter().zip(ends) {
                    job.answer(end);
                }
            }
            Err(error) => {
                add(&self.counters.failed, jobs.len());
                for job in jobs {
                    job.answer(Err(error.clone()));
                }
            }
        }
    }

    /// How long a transaction waits for another process's lock.
    fn patience(&self) -> Duration {
        match self.health {
            Health::Working => self.busy_timeout,
            Health::Failing => self.busy_timeout.min(BUSY_AGAIN),
        }
    }

    fn set_patience(&self, patience: Duration) {
        if let Err(error) = self.connection.busy_timeout(patience) {
            tracing::warn!(%error, "could not set how long to wait for a lock");
        }
    }

    /// How each job ended; an error when all of them are undone.
    fn transact(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        self.place.check()?;
        self.execute("BEGIN IMMEDIATE")?;
        let changed_before = self.connection.total_changes();
        let mut rows_undone = 0;
        let mut ends = Vec::with_capacity(jobs.len());
        let is_alone = jobs.len() == 1;
        for job in jobs {
            let before = self.connection.total_changes();
            let end = if is_alone { self.alone(job.as_mut()) } else { self.savepoint(job.as_mut()) };
            let end = end.inspect_err(|_| self.give_up())?;
            if end.is_err() {
                rows_undone += self.connection.total_changes() - before;
            }
            ends.push(end);
        }
        // When its only job failed it is over already.
        let is_over = is_alone && ends.iter().any(Result::is_err);
        if !is_over {
            self.execute("COMMIT").inspect_err(|_| self.give_up())?;
            self.counters.commits.fetch_add(1, Ordering::Relaxed);
            self.log = Log::Grown;
        }
        let n_failed = ends.iter().filter(|end| end.is_err()).count();
        let rows = self.connection.total_changes() - changed_before - rows_undone;
        add(&self.counters.writes, ends.len() - n_failed);
        add(&self.counters.failed, n_failed);
        self.counters.rows.fetch_add(rows, Ordering::Relaxed);
        Ok(ends)
    }

    /// How a job ended that has the transaction to itself, as [`Self::savepoint`]. For a savepoint SQLite keeps a copy of
    /// each page that changes: here what goes wrong is undone by undoing all.
    fn alone(&self, job: &mut dyn Job) -> Result<Result<(), StoreError>, StoreError> {
        match self.run_job(job) {
            Ok(()) => Ok(Ok(())),
            Err(error) if self.connection.is_autocommit() => Err(error),
            Err(error) => {
                self.execute("ROLLBACK")?;
                Ok(Err(error))
            }
        }
    }

    /// A bug in one job must not end the writer for all others.
    fn run_job(&self, job: &mut dyn Job) -> Result<(), StoreError> {
        let run = catch_unwind(AssertUnwindSafe(|| job.run(&self.connection)));
        run.unwrap_or_else(|_| Err(StoreError::Unavailable("the write panicked".to_owned())))
    }

    /// How one job ended within the transaction; an error when SQLite gave the whole transaction up.
    fn savepoint(&self, job: &mut dyn Job) -> Result<Result<(), StoreError>, StoreError> {
        self.execute("SAVEPOINT job")?;
        match self.run_job(job) {
            Ok(()) => {
                self.execute("RELEASE job")?;
                Ok(Ok(()))
            }
            // A full disk or a failed read may have rolled everything back already
            // (sqlite.org/lang_transaction.html, "Response To Errors Within A Transaction").
            Err(error) if self.connection.is_autocommit() => Err(error),
            Err(error) => {
                self.execute("ROLLBACK TO job")?;
                self.execute("RELEASE job")?;
                Ok(Err(error))
            }
        }
    }

    fn give_up(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.execute("ROLLBACK")
        {
            tracing::warn!(%error, "could not roll back");
        }
    }

    fn execute(&self, sql: &str) -> Result<(), StoreError> {
        let run = || self.connection.prepare_cached(sql)?.execute([]);
        run().map(drop).map_err(|error| store_error(&error))
    }

    /// Moves the log into the database and gives memory back. A reader in the way is not waited for: what stays
    /// in the log is as safe there, and the next quiet moment tries again.
    fn fold(&mut self) {
        if self.log == Log::Folded {
            return;
        }
        self.log = Log::Folded;
        self.set_patience(Duration::ZERO);
        let fold = || {
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            self.connection.execute_batch("PRAGMA shrink_memory")
        };
        if let Err(error) = fold() {
            tracing::debug!(%error, "could not fold the log");
        }
        self.set_patience(self.patience());
    }
}

impl Drop for Writer {
    /// A store that is dropped unclosed still ends its jobs and its thread.
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "the store was not closed");
        }
    }
}
