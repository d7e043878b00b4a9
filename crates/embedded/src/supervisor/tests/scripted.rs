//! Workers that follow a script, on in-memory pipes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use domain::ports::BoxFuture;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::frames::{self, Down, FailureKind, Ready, Up, Usage};
use crate::supervisor::link::{Launch, Link, Process};

/// What a scripted worker does once it has its model.
#[derive(Clone, Copy, Debug)]
pub(super) enum Script {
    /// Answers every call with three deltas.
    Answers,
    /// Sends one delta of each of so many calls and is killed.
    DiesAfter(usize),
    /// Cannot load.
    LoadFails,
    /// Ends while loading.
    DiesLoading,
    /// Says nothing after `ready`.
    FallsSilent,
    /// Sends one delta, then waits to be cancelled; then the next.
    Endless,
    /// Sends bytes that are no frame.
    TalksNonsense,
}

/// Starts scripted workers, one script after the other; the last one repeats.
pub(super) struct Launcher {
    scripts: Vec<Script>,
    launches: AtomicUsize,
    received: Arc<Mutex<Vec<Down>>>,
    tasks: TaskTracker,
}

impl Launcher {
    /// What its workers are told goes to `received`.
    pub(super) fn new(scripts: &[Script], received: &Arc<Mutex<Vec<Down>>>, tasks: &TaskTracker) -> Self {
        Self {
            scripts: scripts.to_vec(),
            launches: AtomicUsize::new(0),
            received: Arc::clone(received),
            tasks: tasks.clone(),
        }
    }
}

struct FakeProcess {
    killed: CancellationToken,
    how: watch::Receiver<Option<String>>,
}

impl Process for FakeProcess {
    fn ended(&mut self) -> BoxFuture<'_, String> {
        Box::pin(async {
            let how = self.how.wait_for(Option::is_some).await.expect("the script outlives its link");
            how.clone().unwrap_or_default()
        })
    }

    fn kill(&mut self) {
        self.killed.cancel();
    }
}

struct Side {
    input: DuplexStream,
    output: DuplexStream,
    buffer: BytesMut,
    received: Arc<Mutex<Vec<Down>>>,
    answers_pings: bool,
}

impl Side {
    /// The next frame that is no ping; never ends at the end of the stream, as the process is killed then.
    async fn next(&mut self) -> Down {
        loop {
            while let Some(frame) = frames::take::<Down>(&mut self.buffer).unwrap() {
                self.received.lock().push(frame.clone());
                match frame {
                    Down::Ping if self.answers_pings => self.send(Up::Pong).await,
                    Down::Ping => {}
                    other => return other,
                }
            }
            if self.input.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                std::future::pending::<()>().await;
            }
        }
    }

    async fn send(&mut self, up: Up) {
        _ = self.output.write_all(&frames::encode(&up).unwrap()).await;
    }

    async fn play(mut self, script: Script) -> String {
        assert!(matches!(self.next().await, Down::Hello { protocol: frames::PROTOCOL }));
        assert!(matches!(self.next().await, Down::Load(_)));
        tokio::time::sleep(Duration::from_secs(1)).await;
        match script {
            Script::LoadFails => {
                self.send(Up::LoadFailed { reason: "not a GGUF file".to_owned() }).await;
                return "ended with exit code 1".to_owned();
            }
            Script::DiesLoading => return "aborted (signal 6)".to_owned(),
            _ => {}
        }
        self.answers_pings = !matches!(script, Script::FallsSilent);
        let template_hash = String::new();
        self.send(Up::Ready(Ready { protocol: frames::PROTOCOL, n_ctx: 64, threads: 1, template_hash }))
            .await;
        if matches!(script, Script::TalksNonsense) {
            _ = self.output.write_all(&[255; 16]).await;
        }
        let mut n_calls = 0;
        loop {
            let frame = self.next().await;
            match (script, frame) {
                (Script::Answers, Down::Generate(call)) => {
                    for text in ["Yes", ", up to ", "$250,000."] {
                        self.send(Up::Delta { id: call.id, text: text.to_owned(), n_tokens: 1 }).await;
                    }
                    let usage = Usage { input: 9, cached: 4, output: 3, ..Usage::default() };
                    self.send(Up::Done { id: call.id, finish: frames::Finish::Stop, usage }).await;
                }
                (Script::DiesAfter(n), Down::Generate(call)) => {
                    self.send(Up::Delta { id: call.id, text: "Yes".to_owned(), n_tokens: 1 }).await;
                    n_calls += 1;
                    if n_calls == n {
                        return "killed (signal 9)".to_owned();
                    }
                }
                (Script::Endless, Down::Generate(call)) => {
                    self.send(Up::Delta { id: call.id, text: "Yes".to_owned(), n_tokens: 1 }).await;
                }
                (Script::Endless, Down::Cancel { id }) => {
                    let (kind, detail) = (FailureKind::Cancelled, String::new());
                    self.send(Up::Failed { id, kind, detail }).await;
                }
                _ => {}
            }
        }
    }
}

impl Launch for Launcher {
    fn launch(&self) -> io::Result<Link> {
        let index = self.launches.fetch_add(1, Ordering::Relaxed);
        let script = *self.scripts.get(index).or_else(|| self.scripts.last()).unwrap();
        let (input, worker_input) = tokio::io::duplex(1 << 16);
        let (worker_output, output) = tokio::io::duplex(1 << 16);
        let killed = CancellationToken::new();
        let (tell, how) = watch::channel(None);
        let side = Side {
            input: worker_input,
            output: worker_output,
            buffer: BytesMut::new(),
            received: Arc::clone(&self.received),
            answers_pings: true,
        };
        let kill = killed.clone();
        self.tasks.spawn(async move {
            let how = tokio::select! {
                how = side.play(script) => how,
                () = kill.cancelled() => "killed by the supervisor".to_owned(),
            };
            tell.send_replace(Some(how));
        });
        Ok(Link {
            input: Box::new(input),
            output: Box::new(output),
            log: Box::new(&b"loading\nnative noise without an end"[..]),
            process: Box::new(FakeProcess { killed, how }),
        })
    }
}
