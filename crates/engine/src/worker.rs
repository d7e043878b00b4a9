//! The worker process: frames on stdin, frames on the stdout it was given, the answers between them.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

use embedded::frames::{self, Down, FailureKind, Generate, PROTOCOL, Ready, Up};

use crate::generation::{Config, Engine, Progress};
use crate::model::{LoadError, Model};

/// Answers that may wait inside the worker; the supervisor sends far fewer.
const WAITING_MAX: usize = 64;
/// The kernel takes the worker before the server when memory is short.
const OOM_SCORE: &str = "500";

/// The worker cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkerError {
    /// The server is gone or talks nonsense.
    #[error("the pipe to the server failed: {0}")]
    Pipe(#[from] io::Error),
    /// The server speaks another version, or in the wrong order.
    #[error("the server began with {0}")]
    Greeting(&'static str),
    /// There is no model.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Runs this process as a worker until its stdin closes. Call it before any other thread is started.
#[must_use]
pub fn run_worker() -> ExitCode {
    let out = match take_stdout() {
        Ok(out) => out,
        Err(error) => return complain(&WorkerError::Pipe(error)),
    };
    // No niceness: llama.cpp's threads wait for each other by spinning, and measured at niceness 5 beside two busy
    // processes on two cores an answer came at 1 token/s instead of 18. The server sleeps most of the time, which is
    // priority enough.
    // Not needed to work, and may be forbidden.
    _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    let (sender, inbox) = sync_channel(WAITING_MAX);
    let (ended, has_ended) = sync_channel::<()>(1);
    let reader = std::thread::Builder::new().name("frames".to_owned()).spawn(move || {
        read_frames(&mut io::stdin().lock(), &sender);
        drop(sender);
        // The engine stops after its piece of work; should it hang, no worker may outlive its server.
        if has_ended.recv_timeout(Duration::from_secs(2)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
    });
    if let Err(error) = reader {
        return complain(&WorkerError::Pipe(error));
    }
    let result = serve(&inbox, &mut io::BufWriter::new(out));
    drop(ended);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error),
    }
}

fn complain(error: &WorkerError) -> ExitCode {
    _ = writeln!(io::stderr(), "worker: {error}");
    ExitCode::FAILURE
}

/// The frames' own way out; from now on whatever native code prints goes to stderr.
fn take_stdout() -> io::Result<File> {
    let frames = rustix::io::fcntl_dupfd_cloexec(io::stdout(), 3)?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    Ok(File::from(frames))
}

/// Hands frames on until the stream ends or is unreadable.
pub(crate) fn read_frames(from: &mut impl Read, to: &SyncSender<Down>) {
    while let Ok(Some(frame)) = frames::read::<Down>(from) {
        if to.send(frame).is_err() {
            return;
        }
    }
}

/// Loads the model and makes answers until the inbox closes.
pub(crate) fn serve(inbox: &Receiver<Down>, out: &mut impl Write) -> Result<(), WorkerError> {
    match inbox.recv() {
        Ok(Down::Hello { protocol: PROTOCOL }) => {}
        Ok(Down::Hello { .. }) => return Err(WorkerError::Greeting("another version of the frames")),
        Ok(_) => return Err(WorkerError::Greeting("something else than a hello")),
        Err(_) => return Ok(()),
    }
    let load = match inbox.recv() {
        Ok(Down::Load(load)) => load,
        Ok(_) => return Err(WorkerError::Greeting("a hello, but no model")),
        Err(_) => return Ok(()),
    };
    let model = Model::load(Path::new(&load.path)).or_else(|error| refuse(out, error))?;
    let config = Config { n_ctx: load.n_ctx, threads: load.threads, parallel: load.parallel };
    let engine = Engine::new(&model, config).or_else(|error| refuse(out, error))?;
    let ready = Ready {
        protocol: PROTOCOL,
        n_ctx: u32::try_from(engine.n_ctx()).unwrap_or(0),
        threads: engine.threads(),
        template_hash: model.template_hash().to_owned(),
    };
    frames::write(out, &Up::Ready(ready))?;
    Service { engine, inbox, out, waiting: VecDeque::new() }.run()
}

/// Tells the server why there will be no model.
fn refuse<T>(out: &mut impl Write, error: LoadError) -> Result<T, WorkerError> {
    frames::write(out, &Up::LoadFailed { reason: error.to_string() })?;
    Err(error.into())
}

struct Service<'a, W> {
    engine: Engine<'a>,
    inbox: &'a Receiver<Down>,
    out: &'a mut W,
    waiting: VecDeque<Generate>,
}

impl<W: Write> Service<'_, W> {
    fn run(mut self) -> Result<(), WorkerError> {
        loop {
            let is_idle = self.engine.is_idle() && self.waiting.is_empty();
            let frame = if is_idle {
                self.inbox.recv().map_err(|_| TryRecvError::Disconnected)
            } else {
                self.inbox.try_recv()
            };
            match frame {
                Ok(frame) => self.receive(frame)?,
                Err(TryRecvError::Disconnected) => return Ok(()),
                Err(TryRecvError::Empty) => self.work()?,
            }
        }
    }

    fn receive(&mut self, frame: Down) -> Result<(), WorkerError> {
        match frame {
            Down::Ping => {
                self.engine.rest();
                self.send(&Up::Pong)
            }
            Down::Generate(call) if self.waiting.len() >= WAITING_MAX => {
                self.fail(call.id, FailureKind::Engine, "too many answers wait in the worker")
            }
            Down::Generate(call) => {
                self.waiting.push_back(call);
                Ok(())
            }
            Down::Cancel { id } => {
                let n_waiting = self.waiting.len();
                self.waiting.retain(|call| call.id != id);
                if self.engine.cancel(id) || self.waiting.len() < n_waiting {
                    self.fail(id, FailureKind::Cancelled, "cancelled")?;
                }
                Ok(())
            }
            Down::Hello { .. } | Down::Load(_) => Err(WorkerError::Greeting("a second greeting")),
        }
    }

    /// Takes up what there is room for, and does one piece of work for all.
    fn work(&mut self) -> Result<(), WorkerError> {
        while self.engine.has_room() {
            let Some(call) = self.waiting.pop_front() else { break };
            if let Err(failure) = self.engine.begin(&call) {
                self.fail(call.id, failure.kind, &failure.detail)?;
            }
        }
        for (id, news) in self.engine.step() {
            match news {
                Ok(Progress::Text(text)) => self.send_text(id, text)?,
                Ok(Progress::Done { text, finish, usage }) => {
                    self.send_text(id, text)?;
                    self.send(&Up::Done { id, finish, usage })?;
                }
                Err(failure) => self.fail(id, failure.kind, &failure.detail)?,
            }
        }
        Ok(())
    }

    fn send_text(&mut self, id: u64, text: String) -> Result<(), WorkerError> {
        if text.is_empty() { Ok(()) } else { self.send(&Up::Delta { id, text, n_tokens: 1 }) }
    }

    fn fail(&mut self, id: u64, kind: FailureKind, detail: &str) -> Result<(), WorkerError> {
        self.send(&Up::Failed { id, kind, detail: detail.to_owned() })
    }

    fn send(&mut self, up: &Up) -> Result<(), WorkerError> {
        Ok(frames::write(self.out, up)?)
    }
}
