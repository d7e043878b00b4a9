//! Keeps a model's worker process alive and hands it a few calls at a time, behind the port `ChatModel`.
//!
//! Reading order: this file (configuration, handle, restarts), [`session`] (one worker's life), [`translation`]
//! (what it is told and says), [`queue`] (calls that wait), [`link`] (the process and its pipes).
//! A worker that ends fails the running calls as `transient` and is started again; what cannot be loaded makes the
//! state [`State::Failed`], in which calls fail at once, and is tried again in the background.

mod link;
mod queue;
mod session;
mod translation;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use domain::chat::ChatCall;
use domain::fault::{Fault, Kind};
use domain::ports::{BoxFuture, CallError, ChatModel, ChatStream, Clock, ModelError};
use domain::time::Moment;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use self::link::Launch;
pub use self::link::WorkerCommand;
use self::queue::{Queue, Waiting};
use self::session::{End, Session};
use crate::choose;

/// First wait before a restart; doubled for each further one in a row.
const BACKOFF_FIRST: Duration = Duration::from_millis(200);
/// Longest wait before a restart.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A worker that lived this long after loading starts the count of restarts in a row anew.
const HEALTHY_AFTER: Duration = Duration::from_secs(30);
/// After so many ends in a row calls no longer wait for the next start.
const LOSSES_MAX: u32 = 5;

/// Answers made at once unless it is set otherwise: a common step of four costs about three times that of one, so each
/// more makes all slower without more being made.
pub const PARALLEL: usize = 4;

/// How one worker is run.
#[derive(Debug, Clone)]
pub struct Config {
    /// The model's name, for messages.
    pub name: String,
    /// The worker's command line.
    pub command: WorkerCommand,
    /// The model's file.
    pub model: PathBuf,
    /// Memory in bytes that the worker will take; checked before each start. `None` skips the check.
    pub memory_bytes: Option<u64>,
    /// Context in tokens.
    pub n_ctx: u32,
    /// Threads; 0 lets the worker choose while it works.
    pub threads: u32,
    /// Answers made at once; further calls wait.
    pub parallel: usize,
    /// Calls that may wait.
    pub waiting_max: usize,
    /// How long loading may take: a gigabyte from a slow disk.
    pub load_timeout: Duration,
    /// Time between two questions whether the worker lives.
    pub ping_every: Duration,
    /// Silence after which it is killed: 5 s, and 3 s for the piece of work it may be in on a crowded machine.
    pub pong_timeout: Duration,
}

impl Config {
    /// The usual settings for the model `name` in the file `model`.
    #[must_use]
    pub fn new(name: impl Into<String>, model: PathBuf, command: WorkerCommand) -> Self {
        Self {
            name: name.into(),
            command,
            model,
            memory_bytes: None,
            n_ctx: 4_096,
            threads: 0,
            parallel: PARALLEL,
            waiting_max: 32,
            load_timeout: Duration::from_secs(120),
            ping_every: Duration::from_secs(2),
            pong_timeout: Duration::from_secs(8),
        }
    }
}

/// How a worker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Not started yet.
    Starting,
    /// The process runs and loads the model for the first time.
    Loading,
    /// It answers.
    Ready,
    /// It ended and is being started again.
    Restarting {
        /// Restarts since the server started.
        restarts: u32,
        /// How it ended.
        last_exit: String,
    },
    /// It cannot be started now; calls fail at once, starting is tried again in the background.
    Failed {
        /// Why, for people.
        reason: String,
    },
    /// Stopped with the server.
    Stopped,
}

/// What is known of a worker, for health pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The model's name.
    pub model: String,
    /// How it is.
    pub state: State,
    /// Restarts since the server started.
    pub restarts: u32,
    /// How the last worker ended, if one did.
    pub last_exit: Option<String>,
    /// Calls that wait.
    pub n_waiting: usize,
    /// Answers being made.
    pub n_answering: usize,
}

/// A model that does not answer in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the embedded model is not ready: {reason}")]
pub struct NotReady {
    /// Why.
    pub reason: String,
}

/// Supervises one worker; made by [`Supervisor::new`], runs in [`Supervisor::run`].
pub struct Supervisor {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    launcher: Box<dyn Launch>,
}

/// The handle of a supervised worker: a `ChatModel`, and its state.
#[derive(Clone)]
pub struct Worker {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
}

struct Shared {
    config: Config,
    queue: Queue,
    state: watch::Sender<State>,
    past: Mutex<Past>,
    n_answering: AtomicUsize,
}

#[derive(Default)]
struct Past {
    restarts: u32,
    last_exit: Option<String>,
    ready_since: Option<Moment>,
}

impl Shared {
    fn set(&self, state: State) {
        self.state.send_replace(state);
    }

    fn answering(&self, n: usize) {
        self.n_answering.store(n, Ordering::Relaxed);
    }

    fn on_ready(&self, now: Moment) {
        self.past.lock().ready_since = Some(now);
        self.set(State::Ready);
    }

    /// Sends all waiting calls away and lets none in until the worker is ready again.
    fn give_up(&self, reason: &str) {
        tracing::warn!(model.name = %self.config.name, "embedded model `{}` does not run: {reason}", self.config.name);
        self.set(State::Failed { reason: reason.to_owned() });
        self.queue.fail_all(Fault::unavailable(), &format!("the embedded model does not run: {reason}"));
    }
}

impl Supervisor {
    /// A supervisor and its handle. Nothing is started before [`Self::run`].
    #[must_use]
    pub fn new(config: Config, clock: Arc<dyn Clock>) -> (Self, Worker) {
        let launcher = Box::new(config.command.clone());
        Self::with_launcher(config, clock, launcher)
    }

    fn with_launcher(config: Config, clock: Arc<dyn Clock>, launcher: Box<dyn Launch>) -> (Self, Worker) {
        let shared = Arc::new(Shared {
            queue: Queue::new(config.waiting_max),
            config,
            state: watch::Sender::new(State::Starting),
            past: Mutex::default(),
            n_answering: AtomicUsize::new(0),
        });
        let worker = Worker { shared: Arc::clone(&shared), clock: Arc::clone(&clock) };
        (Self { shared, clock, launcher }, worker)
    }

    /// Keeps the worker running until `shutdown`; the process is gone when this returns.
    pub async fn run(self, shutdown: CancellationToken) {
        let sweep = self.shared.queue.sweep(&*self.clock);
        tokio::select! {
            () = Box::pin(self.supervise(&shutdown)) => {}
            () = sweep => {}
        }
        self.shared.set(State::Stopped);
        self.shared.queue.fail_all(Fault::unavailable(), "the server is stopping");
    }

    async fn supervise(&self, shutdown: &CancellationToken) {
        let mut losses = 0_u32;
        loop {
            let end = self.run_once(shutdown).await;
            let lived = {
                let mut past = self.shared.past.lock();
                past.ready_since.take().map(|since| self.clock.now().since(since))
            };
            if lived.is_some_and(|lived| lived >= HEALTHY_AFTER) {
                losses = 0;
            }
            losses = losses.saturating_add(1);
            match end {
                End::Shutdown => return,
                End::NotLoaded(reason) => {
                    self.note_end(&reason);
                    self.shared.give_up(&reason);
                }
                End::Lost(exit) => {
                    let restarts = self.note_end(&exit);
                    tracing::warn!(
                        model.name = %self.shared.config.name,
                        restarts,
                        "the worker of `{}` ended: {exit}",
                        self.shared.config.name
                    );
                    if losses >= LOSSES_MAX {
                        self.shared
                            .give_up(&format!("its worker ended {losses} times in a row; last: {exit}"));
                    } else {
                        self.shared.set(State::Restarting { restarts, last_exit: exit });
                    }
                }
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.clock.sleep(backoff(losses)) => {}
            }
        }
    }

    /// Starts the worker and serves with it until it ends.
    async fn run_once(&self, shutdown: &CancellationToken) -> End {
        if shutdown.is_cancelled() {
            return End::Shutdown;
        }
        if let Some(needed) = self.shared.config.memory_bytes {
            let memory = tokio::task::spawn_blocking(choose::Memory::read).await;
            if let Ok(Err(reason)) = memory.map(|memory| choose::check(needed, memory)) {
                return End::NotLoaded(reason);
            }
        }
        match self.launcher.launch() {
            Err(error) => End::NotLoaded(format!("its worker could not be started: {error}")),
            Ok(link) => {
                self.shared.state.send_if_modified(|state| {
                    let is_first = *state == State::Starting;
                    if is_first {
                        *state = State::Loading;
                    }
                    is_first
                });
                Session::new(&self.shared, &self.clock, link).run(shutdown).await
            }
        }
    }

    /// Remembers an end; returns the number of restarts that follow from it.
    fn note_end(&self, exit: &str) -> u32 {
        let mut past = self.shared.past.lock();
        past.restarts = past.restarts.saturating_add(1);
        past.last_exit = Some(exit.to_owned());
        past.restarts
    }
}

fn backoff(losses: u32) -> Duration {
    BACKOFF_FIRST.saturating_mul(1_u32 << losses.saturating_sub(1).min(16)).min(BACKOFF_MAX)
}

impl Worker {
    /// How the worker is.
    #[must_use]
    pub fn state(&self) -> State {
        self.shared.state.borrow().clone()
    }

    /// What is known of the worker.
    #[must_use]
    pub fn status(&self) -> Status {
        let past = self.shared.past.lock();
        Status {
            model: self.shared.config.name.clone(),
            state: self.state(),
            restarts: past.restarts,
            last_exit: past.last_exit.clone(),
            n_waiting: self.shared.queue.len(),
            n_answering: self.shared.n_answering.load(Ordering::Relaxed),
        }
    }

    /// Ends when the worker is ready.
    ///
    /// # Errors
    /// [`NotReady`] when it cannot be started, or is not ready at `until`.
    pub async fn wait_ready(&self, until: Moment) -> Result<(), NotReady> {
        let mut state = self.shared.state.subscribe();
        let settled =
            state.wait_for(|state| matches!(state, State::Ready | State::Failed { .. } | State::Stopped));
        let late = || NotReady { reason: "it takes too long to start".to_owned() };
        let settled = tokio::select! {
            biased;
            settled = settled => settled.map_err(|_| late())?.clone(),
            () = self.clock.sleep_until(until) => return Err(late()),
        };
        match settled {
            State::Ready => Ok(()),
            other => Err(NotReady { reason: admits(&other).err().unwrap_or_default() }),
        }
    }

    fn enqueue(&self, call: &ChatCall) -> Result<ChatStream, ModelError> {
        let refuse = |detail: String| ModelError { fault: Fault::unavailable(), detail };
        admits(&self.shared.state.borrow())
            .map_err(|reason| refuse(format!("the embedded model does not run: {reason}")))?;
        let chunks_max = call.request.parameters.max_tokens.min(self.shared.config.n_ctx);
        let (reply, chunks) = mpsc::channel(usize::try_from(chunks_max).unwrap_or(0) + 8);
        self.shared
            .queue
            .push(Waiting { request: Arc::clone(&call.request), deadline: call.deadline, reply })
            .map_err(|_| refuse("too many calls wait for the embedded model".to_owned()))?;
        // A failure between the check and the push would have missed this call.
        if let Err(reason) = admits(&self.shared.state.borrow()) {
            self.shared
                .queue
                .fail_all(Fault::unavailable(), &format!("the embedded model does not run: {reason}"));
        }
        Ok(stream(chunks))
    }
}

impl ChatModel for Worker {
    /// Accepts the call into the queue; failures of any later kind come through the stream.
    fn chat(&self, call: ChatCall) -> BoxFuture<'_, Result<ChatStream, CallError>> {
        Box::pin(std::future::ready(self.enqueue(&call).map_err(CallError::from)))
    }
}

/// Whether a new call may wait in this state.
fn admits(state: &State) -> Result<(), String> {
    match state {
        State::Starting | State::Loading | State::Ready | State::Restarting { .. } => Ok(()),
        State::Failed { reason } => Err(reason.clone()),
        State::Stopped => Err("the server is stopping".to_owned()),
    }
}

/// The chunks as a stream that never ends silently: without `Done` its last item is an error.
fn stream(mut chunks: mpsc::Receiver<Result<domain::chat::ChatChunk, ModelError>>) -> ChatStream {
    let mut is_over = false;
    Box::pin(futures_util::stream::poll_fn(move |context| {
        if is_over {
            return Poll::Ready(None);
        }
        let next = std::task::ready!(chunks.poll_recv(context));
        let next = next.unwrap_or_else(|| {
            Err(ModelError {
                fault: Fault::provider(Kind::Transient),
                detail: "the embedded model's supervisor ended".to_owned(),
            })
        });
        is_over = !matches!(next, Ok(domain::chat::ChatChunk::Delta(_)));
        Poll::Ready(Some(next.map_err(CallError::from)))
    }))
}

#[cfg(test)]
mod tests;
