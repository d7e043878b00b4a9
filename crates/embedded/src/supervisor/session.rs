//! The life of one worker process, from its first frame to its end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use domain::chat::ChatChunk;
use domain::fault::{Fault, Kind};
use domain::ports::{Clock, ModelError};
use domain::time::Moment;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::link::{Lines, Link};
use super::queue::{Reply, Waiting};
use super::translation::{generate, too_large};
use crate::frames::{self, Down, Load, Up};

/// How a session ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// As asked.
    Shutdown,
    /// Before the model was loaded.
    NotLoaded(String),
    /// After it was loaded.
    Lost(String),
}

/// A worker that was started.
pub(super) struct Session<'a> {
    shared: &'a Shared,
    clock: &'a Arc<dyn Clock>,
    link: Link,
    log: Lines,
    received: BytesMut,
    running: Vec<Running>,
    last_id: u64,
    /// Since when a ping is unanswered.
    pinged: Option<Moment>,
    next_ping: Moment,
    is_ready: bool,
}

/// An answer being made.
struct Running {
    id: u64,
    reply: Reply,
    deadline: Moment,
}

impl Running {
    fn fail(&self, fault: Fault, detail: impl Into<String>) {
        // A closed reply means that nobody wants to know.
        _ = self.reply.try_send(Err(ModelError { fault, detail: detail.into() }));
    }
}

/// What happened next.
enum Event {
    Shutdown,
    Frame(io::Result<Option<Up>>),
    Log(String),
    Call(Waiting),
    Dropped(u64),
    Timer,
}

impl<'a> Session<'a> {
    pub(super) fn new(shared: &'a Shared, clock: &'a Arc<dyn Clock>, mut link: Link) -> Self {
        let log = std::mem::replace(&mut link.log, Box::new(tokio::io::empty()));
        Self {
            shared,
            clock,
            link,
            log: Lines::new(log),
            received: BytesMut::new(),
            running: Vec::new(),
            last_id: 0,
            pinged: None,
            next_ping: clock.now(),
            is_ready: false,
        }
    }

    /// Serves calls until the worker ends or `shutdown`. The process is gone when this returns.
    pub(super) async fn run(mut self, shutdown: &CancellationToken) -> End {
        let config = &self.shared.config;
        let load = Down::Load(Load {
            path: config.model.to_string_lossy().into_owned(),
            n_ctx: config.n_ctx,
            threads: config.threads,
            parallel: u32::try_from(config.parallel).unwrap_or(u32::MAX),
        });
        let load_until = self.clock.now().after(config.load_timeout);
        let mut problem = None;
        for frame in [Down::Hello { protocol: frames::PROTOCOL }, load] {
            problem = problem.or(self.send_or_problem(&frame).await);
        }
        while problem.is_none() {
            problem = match self.next(shutdown, load_until).await {
                Event::Shutdown => return self.stop().await,
                Event::Log(line) => {
                    tracing::debug!(model.name = %config.name, "worker: {line}");
                    None
                }
                Event::Frame(Ok(Some(up))) => self.receive(up),
                Event::Frame(Ok(None)) => Some(String::new()),
                Event::Frame(Err(error)) => Some(format!("it sends nonsense: {error}")),
                Event::Call(call) => self.start(call).await,
                Event::Dropped(id) => self.cancel(id).await,
                Event::Timer => self.on_timer(load_until).await,
            };
        }
        self.lose(problem.unwrap_or_default()).await
    }

    async fn next(&mut self, shutdown: &CancellationToken, load_until: Moment) -> Event {
        let timer = self.timer(load_until);
        let is_free = self.is_ready && self.running.len() < self.shared.config.parallel;
        let dropped = first_closed(self.running.iter().map(|running| (running.id, running.reply.clone())));
        tokio::select! {
            biased;
            () = shutdown.cancelled() => Event::Shutdown,
            frame = receive_frame(&mut self.link.output, &mut self.received) => Event::Frame(frame),
            line = self.log.next() => Event::Log(line),
            id = dropped => Event::Dropped(id),
            call = self.shared.queue.pop(), if is_free => Event::Call(call),
            () = self.clock.sleep_until(timer) => Event::Timer,
        }
    }

    fn timer(&self, load_until: Moment) -> Moment {
        if !self.is_ready {
            return load_until;
        }
        let silent = self.pinged.map(|since| since.after(self.shared.config.pong_timeout));
        let deadline = self.running.iter().map(|running| running.deadline).min();
        [Some(self.next_ping), silent, deadline].into_iter().flatten().min().unwrap_or(self.next_ping)
    }

    /// Deals with whatever is due; `Some` when the worker must be given up.
    async fn on_timer(&mut self, load_until: Moment) -> Option<String> {
        let now = self.clock.now();
        if !self.is_ready {
            return (now >= load_until)
                .then(|| format!("loading took more than {:.0?}", self.shared.config.load_timeout));
        }
        let pong_timeout = self.shared.config.pong_timeout;
        if self.pinged.is_some_and(|since| now >= since.after(pong_timeout)) {
            return Some(format!("it was silent for {pong_timeout:.0?}"));
        }
        while let Some(late) = self.running.iter().find(|running| now >= running.deadline) {
            let id = late.id;
            late.fail(Fault::provider(Kind::Timeout), "the embedded model took too long");
            if let Some(problem) = self.cancel(id).await {
                return Some(problem);
            }
        }
        if now >= self.next_ping {
            self.next_ping = now.after(self.shared.config.ping_every);
            self.pinged.get_or_insert(now);
            return self.send_or_problem(&Down::Ping).await;
        }
        None
    }

    /// Hands a call to the worker.
    async fn start(&mut self, call: Waiting) -> Option<String> {
        let now = self.clock.now();
        if call.deadline <= now {
            call.fail(Fault::provider(Kind::Timeout), "the embedded model had no time for this call");
            return None;
        }
        self.last_id += 1;
        let frame = Down::Generate(generate(self.last_id, &call, now));
        let Ok(bytes) = frames::encode(&frame) else {
            call.fail(too_large(), "the prompt is too long for the embedded model");
            return None;
        };
        self.running.push(Running { id: self.last_id, reply: call.reply, deadline: call.deadline });
        self.shared.answering(self.running.len());
        self.write(&bytes).await.err().map(no_frames)
    }

    /// Deals with a frame; `Some` when the worker must be given up.
    fn receive(&mut self, up: Up) -> Option<String> {
        self.pinged = None;
        match up {
            Up::Ready(ready) if ready.protocol != frames::PROTOCOL => {
                return Some(format!("it speaks version {} of the frames", ready.protocol));
            }
            Up::Ready(ready) => {
                tracing::info!(
                    model.name = %self.shared.config.name,
                    n_ctx = ready.n_ctx,
                    threads = ready.threads,
                    "embedded model `{}` is ready",
                    self.shared.config.name
                );
                self.is_ready = true;
                self.next_ping = self.clock.now().after(self.shared.config.ping_every);
                self.shared.on_ready(self.clock.now());
            }
            Up::LoadFailed { reason } => return Some(reason),
            Up::Pong => {}
            Up::Delta { id, text, .. } => self.forward(id, ChatChunk::Delta(text)),
            Up::Done { id, finish, usage } => {
                tracing::debug!(
                    input = usage.input,
                    cached = usage.cached,
                    output = usage.output,
                    prompt_ms = usage.prompt_ms,
                    decode_ms = usage.decode_ms,
                    "embedded answer made"
                );
                self.forward(id, ChatChunk::Done { finish: finish.into(), usage: Some(usage.into()) });
                self.finish(id);
            }
            Up::Failed { id, kind, detail } => {
                if let Some(running) = self.finish(id) {
                    running.fail(kind.into(), detail);
                }
            }
        }
        None
    }

    /// Chunks of answers that were given up are dropped.
    fn forward(&self, id: u64, chunk: ChatChunk) {
        if let Some(running) = self.running.iter().find(|running| running.id == id) {
            _ = running.reply.try_send(Ok(chunk));
        }
    }

    fn finish(&mut self, id: u64) -> Option<Running> {
        let index = self.running.iter().position(|running| running.id == id)?;
        let running = self.running.remove(index);
        self.shared.answering(self.running.len());
        Some(running)
    }

    async fn cancel(&mut self, id: u64) -> Option<String> {
        self.finish(id)?;
        self.send_or_problem(&Down::Cancel { id }).await
    }

    /// Ends all answers being made.
    fn fail_running(&mut self, fault: Fault, detail: &str) {
        for running in self.running.drain(..) {
            running.fail(fault, detail);
        }
        self.shared.answering(0);
    }

    async fn send_or_problem(&mut self, frame: &Down) -> Option<String> {
        self.send(frame).await.err().map(no_frames)
    }

    async fn send(&mut self, frame: &Down) -> io::Result<()> {
        let bytes = frames::encode(frame)?;
        self.write(&bytes).await
    }

    /// A worker that reads nothing for long is as good as gone.
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let limit = self.clock.sleep(self.shared.config.pong_timeout);
        let input = &mut self.link.input;
        let write = async move {
            input.write_all(bytes).await?;
            input.flush().await
        };
        tokio::select! {
            result = write => result,
            () = limit => Err(io::Error::from(io::ErrorKind::TimedOut)),
        }
    }

    /// Ends the worker in order: its input closes, and it has a moment to go.
    async fn stop(mut self) -> End {
        self.fail_running(Fault::unavailable(), "the server is stopping");
        self.link.input = Box::new(tokio::io::sink());
        self.end_process(Duration::from_secs(2)).await;
        End::Shutdown
    }

    /// Deals with a worker that is gone or has to go.
    async fn lose(mut self, problem: String) -> End {
        // Who waits must hear of it at once, not after the process was laid to rest.
        self.fail_running(Fault::provider(Kind::Transient), "the embedded model's worker ended");
        let patience = if problem.is_empty() { Duration::from_secs(2) } else { Duration::ZERO };
        let how = self.end_process(patience).await;
        let detail = match (self.is_ready, problem.is_empty()) {
            (_, false) => problem,
            (true, true) => how,
            (false, true) => format!("while loading it {how}"),
        };
        if self.is_ready { End::Lost(detail) } else { End::NotLoaded(detail) }
    }

    /// Waits for the process to end by itself, then kills it; says how it ended.
    async fn end_process(&mut self, patience: Duration) -> String {
        let limit = self.clock.sleep(patience);
        let ended = tokio::select! {
            biased;
            how = self.link.process.ended() => Some(how),
            () = limit => None,
        };
        let how = match ended {
            Some(how) => how,
            None => {
                self.link.process.kill();
                self.link.process.ended().await
            }
        };
        // What it said last explains most ends.
        while let Some(line) = futures_util::FutureExt::now_or_never(self.log.next()) {
            tracing::debug!(model.name = %self.shared.config.name, "worker: {line}");
        }
        how
    }
}

/// The next frame; `None` when the worker closed its output. Cancel-safe.
async fn receive_frame(
    output: &mut (dyn tokio::io::AsyncRead + Send + Unpin),
    received: &mut BytesMut,
) -> io::Result<Option<Up>> {
    loop {
        if let Some(frame) = frames::take(received)? {
            return Ok(Some(frame));
        }
        if output.read_buf(received).await? == 0 {
            return Ok(None);
        }
    }
}

/// What to say of a worker that takes no frames; nothing when it has ended, as its end says more.
#[expect(clippy::needless_pass_by_value, reason = "used with map")]
fn no_frames(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::BrokenPipe => String::new(),
        _ => format!("it takes no frames: {error}"),
    }
}

/// Ends when the receiver of one of `replies` is gone, with its id; never without one.
fn first_closed(replies: impl Iterator<Item = (u64, Reply)>) -> impl Future<Output = u64> {
    let mut closed: FuturesUnordered<_> = replies
        .map(|(id, reply)| async move {
            reply.closed().await;
            id
        })
        .collect();
    async move {
        match closed.next().await {
            Some(id) => id,
            None => std::future::pending().await,
        }
    }
}
