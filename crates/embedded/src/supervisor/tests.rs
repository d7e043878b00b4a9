//! The supervisor against scripted workers on in-memory pipes, under a paused clock.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use domain::chat::{ChatCall, ChatChunk, ChatRequest, Finish, Message, Role};
use domain::fault::{Kind, Retry};
use domain::id::ModelId;
use domain::ports::{BoxFuture, ChatModel, ChatStream, Clock, ModelError};
use domain::time::{Moment, Timestamp};
use futures_util::StreamExt;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::link::{Launch, Link, Process};
use super::{Config, State, Supervisor, Worker, WorkerCommand};
use crate::frames::{self, Down, FailureKind, Ready, Up, Usage};

struct PausedClock(tokio::time::Instant);

impl Clock for PausedClock {
    fn now(&self) -> Moment {
        Moment(self.0.elapsed())
    }

    fn wall(&self) -> Timestamp {
        Timestamp(0)
    }

    fn sleep_until(&self, until: Moment) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep_until(self.0 + until.0.min(Duration::from_secs(1 << 30))))
    }
}

/// What a scripted worker does once it has its model.
#[derive(Clone, Copy, Debug)]
enum Script {
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
struct Launcher {
    scripts: Vec<Script>,
    launches: AtomicUsize,
    received: Arc<Mutex<Vec<Down>>>,
    tasks: TaskTracker,
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

/// A running supervisor.
struct House {
    worker: Worker,
    clock: Arc<dyn Clock>,
    received: Arc<Mutex<Vec<Down>>>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

fn house(scripts: &[Script], adjust: impl FnOnce(&mut Config)) -> House {
    let command = WorkerCommand { program: "/nowhere".into(), arguments: Vec::new() };
    let mut config = Config::new("tiny", "/models/tiny.gguf".into(), command);
    adjust(&mut config);
    let clock: Arc<dyn Clock> = Arc::new(PausedClock(tokio::time::Instant::now()));
    let received = Arc::default();
    let tasks = TaskTracker::new();
    let launcher = Launcher {
        scripts: scripts.to_vec(),
        launches: AtomicUsize::new(0),
        received: Arc::clone(&received),
        tasks: tasks.clone(),
    };
    let (supervisor, worker) = Supervisor::with_launcher(config, Arc::clone(&clock), Box::new(launcher));
    let shutdown = CancellationToken::new();
    tasks.spawn(supervisor.run(shutdown.clone()));
    House { worker, clock, received, shutdown, tasks }
}

impl House {
    async fn call(&self, within: Duration) -> Result<ChatStream, ModelError> {
        let request = ChatRequest {
            messages: vec![Message::new(Role::User, "Is my deposit insured?")],
            ..ChatRequest::default()
        };
        self.worker
            .chat(ChatCall {
                model: ModelId::from("embedded/tiny"),
                region: None,
                request: Arc::new(request),
                deadline: self.clock.now().after(within),
                trace: None,
            })
            .await
    }

    async fn ready(&self) {
        self.worker.wait_ready(self.clock.now().after(Duration::from_secs(60))).await.unwrap();
    }
}

async fn text_of(stream: ChatStream) -> Result<String, ModelError> {
    let chunks: Vec<_> = stream.collect().await;
    let mut text = String::new();
    for chunk in chunks {
        match chunk? {
            ChatChunk::Delta(delta) => text.push_str(&delta),
            ChatChunk::Done { finish, usage } => {
                assert_eq!(finish, Finish::Stop);
                assert_eq!(usage.unwrap().cached_input.0, 4);
            }
        }
    }
    Ok(text)
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn calls_wait_for_loading_and_are_answered_one_after_the_other() {
    let house = house(&[Script::Answers], |_| {});
    let first = house.call(MINUTE).await.unwrap();
    let second = house.call(MINUTE).await.unwrap();
    assert_eq!(text_of(second).await.unwrap(), "Yes, up to $250,000.");
    assert_eq!(text_of(first).await.unwrap(), "Yes, up to $250,000.");
    assert_eq!(house.worker.state(), State::Ready);
    let ids: Vec<u64> = house
        .received
        .lock()
        .iter()
        .filter_map(|frame| if let Down::Generate(call) = frame { Some(call.id) } else { None })
        .collect();
    assert_eq!(ids, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_stream_is_cancelled_and_the_next_call_starts() {
    let house = house(&[Script::Endless], |config| config.parallel = 1);
    let mut first = house.call(MINUTE).await.unwrap();
    assert_eq!(first.next().await.unwrap().unwrap(), ChatChunk::Delta("Yes".to_owned()));
    let mut second = house.call(MINUTE).await.unwrap();
    assert_eq!(house.worker.status().n_answering, 1);
    assert_eq!(house.worker.status().n_waiting, 1);
    drop(first);
    assert_eq!(second.next().await.unwrap().unwrap(), ChatChunk::Delta("Yes".to_owned()));
    assert!(house.received.lock().contains(&Down::Cancel { id: 1 }));
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_while_waiting_never_reaches_the_worker() {
    let house = house(&[Script::Endless], |config| config.parallel = 1);
    let mut first = house.call(MINUTE).await.unwrap();
    first.next().await.unwrap().unwrap();
    drop(house.call(MINUTE).await.unwrap());
    let mut third = house.call(MINUTE).await.unwrap();
    drop(first);
    third.next().await.unwrap().unwrap();
    let n = house.received.lock().iter().filter(|frame| matches!(frame, Down::Generate(_))).count();
    assert_eq!(n, 2);
}

#[tokio::test(start_paused = true)]
async fn a_worker_killed_in_the_middle_fails_its_call_at_once_and_comes_back() {
    let house = house(&[Script::DiesAfter(1), Script::Answers], |_| {});
    house.ready().await;
    let mut stream = house.call(MINUTE).await.unwrap();
    stream.next().await.unwrap().unwrap();
    let before = house.clock.now();
    let error = stream.next().await.unwrap().unwrap_err();
    assert_eq!((error.fault.kind, error.fault.retry), (Kind::Transient, Retry::Here));
    assert!(house.clock.now().since(before) < Duration::from_millis(100), "at once");
    assert!(stream.next().await.is_none());
    tokio::time::sleep(Duration::from_millis(10)).await;
    let want = State::Restarting { restarts: 1, last_exit: "killed (signal 9)".to_owned() };
    assert_eq!(house.worker.state(), want);
    let answer = text_of(house.call(MINUTE).await.unwrap()).await.unwrap();
    assert_eq!(answer, "Yes, up to $250,000.", "a call made in between waits for the new worker");
    let status = house.worker.status();
    assert_eq!((status.state, status.restarts), (State::Ready, 1));
    assert_eq!(status.last_exit.as_deref(), Some("killed (signal 9)"));
}

#[tokio::test(start_paused = true)]
async fn so_many_calls_are_answered_at_once_and_the_next_waits_for_one_of_them() {
    let house = house(&[Script::Endless], |config| config.parallel = 3);
    house.ready().await;
    let mut running = Vec::new();
    for _ in 0..3 {
        let mut stream = house.call(MINUTE).await.unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap(), ChatChunk::Delta("Yes".to_owned()));
        running.push(stream);
    }
    let mut fourth = house.call(Duration::from_secs(30)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let status = house.worker.status();
    assert_eq!((status.n_answering, status.n_waiting), (3, 1));
    drop(running.remove(1));
    assert_eq!(fourth.next().await.unwrap().unwrap(), ChatChunk::Delta("Yes".to_owned()));
    assert!(house.received.lock().contains(&Down::Cancel { id: 2 }));
    let error = fourth.next().await.unwrap().unwrap_err();
    assert_eq!(error.fault.kind, Kind::Timeout, "its own deadline");
    assert_eq!(house.worker.status().n_answering, 2, "which ended no other");
    assert!(house.received.lock().contains(&Down::Cancel { id: 4 }));
    assert!(!house.received.lock().contains(&Down::Cancel { id: 1 }));
}

#[tokio::test(start_paused = true)]
async fn a_worker_killed_with_four_answers_fails_each_of_them_once() {
    let house = house(&[Script::DiesAfter(4), Script::Answers], |config| config.parallel = 4);
    house.ready().await;
    let mut streams = Vec::new();
    for _ in 0..5 {
        streams.push(house.call(MINUTE).await.unwrap());
    }
    let fifth = streams.pop().unwrap();
    for stream in streams {
        let chunks: Vec<_> = stream.collect().await;
        assert_eq!(chunks.len(), 2, "{chunks:?}");
        assert!(matches!(&chunks[0], Ok(ChatChunk::Delta(text)) if text == "Yes"));
        let error = chunks[1].as_ref().unwrap_err();
        assert_eq!((error.fault.kind, error.fault.retry), (Kind::Transient, Retry::Here));
    }
    assert_eq!(text_of(fifth).await.unwrap(), "Yes, up to $250,000.", "it waited and lost nothing");
    let status = house.worker.status();
    assert_eq!((status.restarts, status.n_answering), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_loaded_fails_calls_at_once_and_recovers_by_itself() {
    for (script, reason) in
        [(Script::LoadFails, "not a GGUF file"), (Script::DiesLoading, "while loading it aborted (signal 6)")]
    {
        let house = house(&[script, script, Script::Answers], |_| {});
        let waiting = house.call(MINUTE).await.unwrap();
        let error = text_of(waiting).await.unwrap_err();
        assert_eq!((error.fault.kind, error.fault.retry), (Kind::Unavailable, Retry::Elsewhere));
        assert!(error.detail.contains(reason), "{}", error.detail);
        assert_eq!(house.worker.state(), State::Failed { reason: reason.to_owned() });
        let not_ready = house.worker.wait_ready(house.clock.now().after(MINUTE)).await.unwrap_err();
        assert_eq!(not_ready.reason, reason);
        let refused = house.call(MINUTE).await.err().expect("refused at once");
        assert_eq!(refused.fault.kind, Kind::Unavailable);
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(house.worker.state(), State::Ready);
        assert!(text_of(house.call(MINUTE).await.unwrap()).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_calls_leave_at_their_deadline_and_running_ones_are_cancelled() {
    let house = house(&[Script::Endless], |config| config.parallel = 1);
    house.ready().await;
    let running = house.call(Duration::from_secs(9)).await.unwrap();
    let waiting = house.call(Duration::from_secs(3)).await.unwrap();
    let started = house.clock.now();
    for (stream, seconds) in [(waiting, 3), (running, 9)] {
        let error = text_of(stream).await.unwrap_err();
        assert_eq!(error.fault.kind, Kind::Timeout);
        let waited = house.clock.now().since(started).as_secs_f32();
        assert!((waited - seconds as f32).abs() < 0.1, "{waited} s");
    }
    assert_eq!(house.worker.status().n_waiting, 0);
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(house.received.lock().contains(&Down::Cancel { id: 1 }));
    assert!(!house.received.lock().contains(&Down::Cancel { id: 2 }));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_unless_some_of_it_was_given_up() {
    let house = house(&[Script::Endless], |config| (config.parallel, config.waiting_max) = (1, 2));
    house.ready().await;
    let mut running = house.call(MINUTE).await.unwrap();
    running.next().await.unwrap().unwrap();
    let first = house.call(MINUTE).await.unwrap();
    let _second = house.call(MINUTE).await.unwrap();
    let refused = house.call(MINUTE).await.err().expect("the queue is full");
    assert_eq!(refused.fault.kind, Kind::Unavailable);
    drop(first);
    assert!(house.call(MINUTE).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_silent_worker_is_killed_and_replaced() {
    let house = house(&[Script::FallsSilent, Script::Answers], |_| {});
    house.ready().await;
    let started = house.clock.now();
    let error = text_of(house.call(MINUTE).await.unwrap()).await.unwrap_err();
    assert_eq!(error.fault.kind, Kind::Transient);
    let waited = house.clock.now().since(started);
    assert!(waited >= Duration::from_secs(8) && waited < Duration::from_secs(12), "{waited:?}");
    assert_eq!(text_of(house.call(MINUTE).await.unwrap()).await.unwrap(), "Yes, up to $250,000.");
    let last_exit = house.worker.status().last_exit.unwrap();
    assert!(last_exit.contains("silent"), "{last_exit}");
}

#[tokio::test(start_paused = true)]
async fn pings_keep_an_idle_worker_alive() {
    let house = house(&[Script::Answers], |_| {});
    house.ready().await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(house.worker.status().restarts, 0);
    let pings = house.received.lock().iter().filter(|frame| matches!(frame, Down::Ping)).count();
    assert!((140..=151).contains(&pings), "{pings}");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_keeps_ending_stops_taking_calls() {
    let house = house(&[Script::TalksNonsense], |_| {});
    tokio::time::sleep(Duration::from_secs(30)).await;
    let State::Failed { reason } = house.worker.state() else { unreachable!("{:?}", house.worker.state()) };
    assert!(reason.contains("in a row") && reason.contains("nonsense"), "{reason}");
    assert_eq!(house.call(MINUTE).await.err().map(|error| error.fault.kind), Some(Kind::Unavailable));
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_the_worker_and_tells_everyone() {
    let house = house(&[Script::Endless], |config| config.parallel = 1);
    house.ready().await;
    let mut running = house.call(MINUTE).await.unwrap();
    running.next().await.unwrap().unwrap();
    let waiting = house.call(MINUTE).await.unwrap();
    house.shutdown.cancel();
    for stream in [running, waiting] {
        assert_eq!(text_of(stream).await.unwrap_err().fault.kind, Kind::Unavailable);
    }
    house.tasks.close();
    house.tasks.wait().await;
    assert_eq!(house.worker.state(), State::Stopped);
    assert!(house.call(MINUTE).await.is_err());
}

#[tokio::test]
async fn a_program_that_is_not_there_or_no_worker_is_a_reason() {
    let itself = std::env::current_exe().unwrap();
    for (program, arguments, want) in [
        ("/nowhere/worker".into(), Vec::new(), ["could not be started", "not there"]),
        // This test program lists its tests on stdout and ends; either may be seen first.
        (itself, vec!["--list".into()], ["nonsense", "while loading it ended with exit code 0"]),
    ] {
        let command = WorkerCommand { program, arguments };
        let config = Config::new("tiny", "/models/tiny.gguf".into(), command);
        let clock: Arc<dyn Clock> = Arc::new(PausedClock(tokio::time::Instant::now()));
        let (supervisor, worker) = Supervisor::new(config, Arc::clone(&clock));
        let shutdown = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(supervisor.run(shutdown.clone()));
        let error = worker.wait_ready(clock.now().after(MINUTE)).await.unwrap_err();
        assert!(want.iter().any(|want| error.reason.contains(want)), "{error}");
        shutdown.cancel();
        tasks.close();
        tasks.wait().await;
    }
}

#[test]
fn waits_double_up_to_the_longest() {
    let waits: Vec<u128> = [1, 2, 3, 8, 9, 40].map(|losses| super::backoff(losses).as_millis()).to_vec();
    assert_eq!(waits, [200, 400, 800, 25_600, 30_000, 30_000]);
}
